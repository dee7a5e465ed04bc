"""Moves data from Redis to files: rows of ended jobs, and older entries of long histories."""
