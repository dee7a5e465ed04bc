"""Server-sent events about jobs: a process polls each job, and encodes each event, only once."""
