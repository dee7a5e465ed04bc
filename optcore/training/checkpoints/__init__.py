"""Checkpoints: saving a run to files, verifying and restoring it, and starting new runs from it."""
