"""Traces an update rule into a program that runs in place."""
