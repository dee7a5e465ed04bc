"""Periodic tasks (rounds), such as taking jobs back from dead workers and archiving ended jobs."""
