"""Measured claims: each module prints a ratio against a peer, run side by side."""
