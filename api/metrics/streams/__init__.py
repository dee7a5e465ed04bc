"""Following a job as server-sent events: one reader per process, and what many watchers share."""
