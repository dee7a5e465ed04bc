"""Server-sent events about jobs: polled and encoded once per process, for all of its clients."""
