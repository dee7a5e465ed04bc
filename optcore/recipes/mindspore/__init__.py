"""The configurations of mindcv and mindocr, which share their schedules and optimizers."""
