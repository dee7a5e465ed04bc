"""Datasets: reading their examples from files, and serving the examples in batches."""
