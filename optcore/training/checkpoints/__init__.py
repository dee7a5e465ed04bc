"""Checkpoints: saving a run to files, restoring it from them, and starting other runs from them."""
