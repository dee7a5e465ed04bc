"""Training: the loop, evaluation, checkpoints, and what determines a run's results bit for bit."""
