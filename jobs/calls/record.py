"""What anybody may ask the server for."""

from __future__ import annotations

from jobs.calls.replies import as_record, text
from jobs.functions import Call
from jobs.record import Record


def look(tenant: str, job_id: str, *, listed: bool = False) -> Call[Record | None]:
    """Return a job's record, or None if there is no such job; for a list, without its place."""
    return Call("look", [tenant, job_id, int(listed)], as_record)


def version() -> Call[str]:
    """Return the version of the functions that the server has."""
    return Call("version", [], text)
