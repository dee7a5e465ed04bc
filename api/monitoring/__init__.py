"""The metrics that Prometheus reads: about this process, and about the whole service."""
