"""Layers: what a network may be made of, one family a file, without torch."""
