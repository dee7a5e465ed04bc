"""The processes of the benchmark of those who watch."""
