"""One attempt at a job: restore, train, save, and end it."""
