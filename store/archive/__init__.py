"""Moves the rows of ended jobs, and entries of the histories of jobs, from Redis to files."""
