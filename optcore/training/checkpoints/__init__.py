"""A run on disk: saved, verified, restored, and begun from."""
