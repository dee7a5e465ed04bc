"""Datasets: readers of the files in the data directory, and the order of the examples."""
