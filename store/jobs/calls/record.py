"""What anybody may ask the server for."""

from __future__ import annotations

from store.jobs.calls.replies import as_record, text
from store.jobs.record import Record
from store.redis.functions import Call


def look(tenant: str, job_id: str) -> Call[Record | None]:
    """Return a job's record, or None if there is no such job."""
    return Call("look", [tenant, job_id], as_record, reads_only=True)


def version() -> Call[str]:
    """Return the version of the functions that the server has."""
    return Call("version", [], text, reads_only=True)
