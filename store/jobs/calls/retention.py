"""Retention: jobs that are removed, rows that are moved, and the files that a job needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from store.jobs.calls.replies import json_text, text, texts
from store.redis.functions import Call


@dataclass(frozen=True)
class Owned:
    """
    The files that a job may need, and the attempt that may write more.

    Attributes:
        attempt: the one that a worker is at; 0 for none.
        token: how that attempt's token begins.
        paths: of checkpoints, artifacts and what it was cloned from, below the storage root.
    """

    attempt: int
    token: str
    paths: list[str]


def expire(
    *, limit: int, max_age_ms: int | None, max_jobs: int | None, max_bytes: int | None
) -> Call[list[str]]:
    """
    Remove the oldest of the jobs that have ended while one of the limits is passed.

    The call returns ``tenant/id`` of each; what is left of them is their files.

    Args:
        limit: at most so many at a time.
        max_age_ms: milliseconds since it ended.
        max_jobs: how many there are.
        max_bytes: of the files of all whose bytes are known.
    """
    # Arguments are text; Lua's tonumber('') is nil.
    limits = ["" if value is None else value for value in (max_age_ms, max_jobs, max_bytes)]
    return Call("expire", [limit, *limits], texts)


def unarchived(*, limit: int, pause_ms: int) -> Call[list[str]]:
    """
    Return ``tenant/id`` of jobs that have ended and whose rows are to be moved to a file.

    Args:
        limit: at most so many.
        pause_ms: milliseconds for which no other call returns them again.
    """
    return Call("unarchived", [limit, pause_ms], texts)


def archived(
    tenant: str, job_id: str, *, rows: int, entries: int, files: Mapping[str, Any]
) -> Call[Literal["ok", "already", "missing", "differs"]]:
    """
    Say that the rows and the history of an ended job are in files; the store removes them.

    The call returns ok; already: other files are known, and count; missing: there is no such job
    any more; differs: the job has not ended, or has other rows or entries. Only ok changes
    anything.

    Args:
        tenant: the job's.
        job_id: the job's.
        rows: how many there are in the file.
        entries: how many the history had then.
        files: what was moved (rows, events) -> path, sha256 and size; what is not named stays.
    """
    # This text is stored as it is and compared on a repeated call: equal is ok, other is already.
    args = [tenant, job_id, rows, entries, json_text(files)]
    return Call("archived", args, text)  # type: ignore[arg-type]  # one of the outcomes


def unmeasured(*, limit: int) -> Call[list[str]]:
    """Return ``tenant/id`` of jobs that have ended and whose bytes are not known."""
    # The server picks at random. Nothing puts off a job that cannot be measured, so in a fixed
    # order some of these would come first each time and keep all others from being measured.
    return Call("unmeasured", [limit], texts, reads_only=True)


def measured(tenant: str, job_id: str, *, size: int) -> Call[None]:
    """Say how many bytes the files of a job have that has ended."""
    return Call("measured", [tenant, job_id, size], lambda reply: None)


def removed(*, limit: int, pause_ms: int) -> Call[list[str]]:
    """
    Return ``tenant/id`` of jobs that are gone and whose files may still be there.

    No other call returns them again for *pause_ms*.
    """
    return Call("removed", [limit, pause_ms], texts)


def files_deleted(tenant: str, job_id: str) -> Call[None]:
    """Say that the files of a job that is gone are gone too."""
    return Call("files_deleted", [tenant, job_id], lambda reply: None)


def owned(tenant: str, job_id: str) -> Call[Owned | None]:
    """Return which files a job may need, or None if there is no such job."""

    def read(reply: bytes | list[Any]) -> Owned | None:
        if isinstance(reply, bytes):
            return None
        attempt, token, *paths = reply
        return Owned(int(attempt), text(token), texts(paths))

    return Call("owned", [tenant, job_id], read, reads_only=True)


def store_id(word: str) -> Call[tuple[str, bool]]:
    """
    Return what the store is called, and whether its storage has that name.

    Args:
        word: its name, if it has none.
    """
    return Call("store_id", [word], lambda reply: (text(reply[0]), bool(reply[1])))


def storage_named() -> Call[None]:
    """Say that the storage has the store's name, on disk."""
    return Call("storage_named", [], lambda reply: None)
