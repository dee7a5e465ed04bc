"""The processes of a worker: a fork server, and the trainers that come from it."""
