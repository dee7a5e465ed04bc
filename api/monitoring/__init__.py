"""What Prometheus reads: of this process, and of the whole service."""
