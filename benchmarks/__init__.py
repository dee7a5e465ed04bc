"""Measurements: most modules print a ratio to a peer that is measured in turn with ours."""
