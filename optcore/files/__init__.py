"""Durable files, without torch: immutable files by name, and the files of a checkpoint."""
