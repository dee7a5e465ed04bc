"""One step: the gradients of its batches, the update, and the columns."""
