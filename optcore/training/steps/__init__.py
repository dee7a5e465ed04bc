"""One step: its batches and their gradients, the update, and what is measured of it."""
