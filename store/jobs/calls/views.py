"""Views: one job, and lists of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store.jobs.calls.replies import as_record, text, texts
from store.jobs.record import Record
from store.redis.functions import Call, error_of

# In the order in which `summary` in views.lua appends them.
BESIDE = ("trained_ms", "waiting_for", "fault_ms", "gone_ms")
"""What follows from a record and the time."""


def look(tenant: str, job_id: str) -> Call[Record | None]:
    """Return a job's record, or None if there is no such job."""
    return Call("look", [tenant, job_id], as_record, reads_only=True)


@dataclass(frozen=True)
class Found:
    """
    Some of the jobs that were looked for.

    Attributes:
        ids: the newest first.
        last: the last id that was looked at; what is older was not.
        all: whether there is nothing older.
    """

    ids: list[str]
    last: str
    all: bool


def find(
    tenant: str, *, state: str, labels: Mapping[str, str], after: str, limit: int
) -> Call[Found]:
    """
    Return the ids of jobs that carry all of *labels*, as far as the server looks at a time.

    Args:
        tenant: whose.
        state: only these; empty for all.
        labels: name -> value; at least one.
        after: only jobs older than this one; empty for all.
        limit: at most so many.
    """
    # A label's name has no =, so that two labels never read as one.
    pairs = [f"{name}={value}" for name, value in labels.items()]

    def read(reply: list[Any]) -> Found:
        (is_all, last), ids = reply
        return Found(texts(ids), text(last), bool(is_all))

    return Call("find", [tenant, state, after, limit, *pairs], read, reads_only=True)


@dataclass(frozen=True)
class Unreadable:
    """
    A job whose record cannot be read.

    Attributes:
        id: of the job.
        why: in a sentence.
    """

    id: str
    why: str


def summaries(
    tenant: str, names: Sequence[str], job_ids: Sequence[str]
) -> Call[list[Record | Unreadable | None]]:
    """
    Return the records of jobs with these fields only.

    In place of a job that is not there stands None, and of one that cannot be read why.
    """
    fields = [*names, *BESIDE]

    def read(reply: list[list[bytes | None]]) -> list[Record | Unreadable | None]:
        return [_summary(fields, values) for values in reply]

    return Call("summaries", [tenant, len(names), *names, *job_ids], read, reads_only=True)


def _summary(names: Sequence[str], values: Sequence[bytes | None]) -> Record | Unreadable | None:
    # Three kinds of reply, told apart by their length: all fields, none, or an id and why.
    there = [None if value is None else value.decode() for value in values]
    if len(there) == len(names):
        fields = zip(names, there, strict=True)
        return Record({name: value for name, value in fields if value is not None})
    if not there:
        return None
    job_id, why = there
    return Unreadable(str(job_id), str(error_of(str(why))))


def index_labels() -> Call[bool]:
    """
    Find some jobs by their labels that the release before has submitted.

    The call returns whether there may be more of them: until there are none, `find` misses some.
    """
    return Call("index_labels", [], bool)
