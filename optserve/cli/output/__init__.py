"""Output of the command: reports on jobs, tables, charts and a live progress line."""
