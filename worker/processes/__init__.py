"""The child processes of a worker: a fork server, and the trainers that it forks."""
