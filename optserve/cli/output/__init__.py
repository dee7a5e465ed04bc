"""What the command prints: text, tables, pictures and live lines."""
