"""What the command prints: reports of jobs, tables, charts and a live line."""
