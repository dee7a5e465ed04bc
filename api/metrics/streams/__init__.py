"""Server-sent events about jobs: a process encodes each event once, for all of its clients."""
