"""One training step: the gradients of its batches, the update, and the columns of its report."""
