"""Datasets: readers of what lies in the data directory, and the order examples are served in."""
