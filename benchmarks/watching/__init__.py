"""The processes of `benchmarks.watchers`."""
