"""Training: the loop, evaluation, checkpoints, and what makes two runs the same run."""
