"""Durable files, torch-free: immutable files by name, and which of them make a checkpoint."""
