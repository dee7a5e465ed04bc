"""Calls that read jobs: one job, or a list of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store.jobs.calls.replies import as_record, text, texts
from store.jobs.record import Record
from store.redis.functions import Call, error_of

# In the order in which `summary` in views.lua appends them.
BESIDE = ("trained_ms", "waiting_for", "fault_ms", "gone_ms")
"""Fields that the server computes from a record and the time, and returns with the record."""


def look(tenant: str, job_id: str) -> Call[Record | None]:
    """Return a job's record, or None if there is no such job."""
    return Call("look", [tenant, job_id], as_record, reads_only=True)


@dataclass(frozen=True)
class Found:
    """
    The result of one call of `find`, which may be incomplete.

    Attributes:
        ids: the ids of the jobs found, newest first.
        last: the id of the oldest job that the call has checked; pass it as *after* to continue.
        all: whether the calls have checked all jobs, so that no further call is needed.
    """

    ids: list[str]
    last: str
    all: bool


def find(
    tenant: str, *, state: str, labels: Mapping[str, str], after: str, limit: int
) -> Call[Found]:
    """
    Return the ids of jobs that carry all of *labels*.

    One call checks a limited number of jobs. While `Found.all` is false, older jobs may carry the
    labels, too.

    Args:
        tenant: the tenant that the jobs belong to.
        state: the state that the jobs must be in; empty for any state.
        labels: the labels that the jobs must carry, name -> value; at least one.
        after: the id of a job; only older jobs are found. Empty to start at the newest.
        limit: the maximum number of ids.
    """
    # A label's name contains no =, so two different labels never look the same.
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
        id: the id of the job.
        why: the reason, in a sentence.
    """

    id: str
    why: str


def summaries(
    tenant: str, names: Sequence[str], job_ids: Sequence[str]
) -> Call[list[Record | Unreadable | None]]:
    """
    Return the records of the jobs *job_ids*, with only the fields in *names* and `BESIDE`.

    The list has None for a job that does not exist, and an `Unreadable` for a job whose record
    cannot be read.
    """
    fields = [*names, *BESIDE]

    def read(reply: list[list[bytes | None]]) -> list[Record | Unreadable | None]:
        return [_summary(fields, values) for values in reply]

    return Call("summaries", [tenant, len(names), *names, *job_ids], read, reads_only=True)


def _summary(names: Sequence[str], values: Sequence[bytes | None]) -> Record | Unreadable | None:
    # Three kinds of reply, distinguished by their length: all fields, none, or an id and a reason.
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
    Add some of the jobs that release 0.1.0 accepted to the index of labels.

    The call returns whether more such jobs may be left. While it returns True, `find` may miss some
    of these jobs.
    """
    return Call("index_labels", [], bool)
