"""Configurations of mindcv and mindocr, which have the same schedules and optimizers."""
