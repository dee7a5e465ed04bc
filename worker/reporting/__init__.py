"""Sends a run's rows (the metrics of each step), evaluations and best states to Redis."""
