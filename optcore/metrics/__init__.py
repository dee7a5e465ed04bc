"""Metrics: what an evaluation measures. One file each; `catalogue` lists them, without torch."""
