"""Processes that take a job and run it."""
