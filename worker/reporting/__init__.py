"""Sends a run's rows, evaluations and best states from the training loop to Redis."""
