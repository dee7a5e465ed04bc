"""Calls for retention: they remove jobs, record moves to files, and list a job's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from store.jobs.calls.replies import json_text, text, texts
from store.redis.functions import Call


@dataclass(frozen=True)
class Owned:
    """
    The files that a job may need, and the attempt that may be writing further files of the job.

    Attributes:
        attempt: the number of the attempt that is running; 0 if none is.
        token: the first 8 characters of that attempt's token.
        paths: the paths, below the storage root, of the job's checkpoints, best states, artifacts,
            archives, history files and starting state.
    """

    attempt: int
    token: str
    paths: list[str]


def expire(
    *, limit: int, max_age_ms: int | None, max_jobs: int | None, max_bytes: int | None
) -> Call[list[str]]:
    """
    Remove the records of the oldest ended jobs, while a limit on ended jobs is exceeded.

    The call returns ``tenant/id`` of each removed job. The files of these jobs still exist.

    Args:
        limit: the maximum number of jobs that this call removes.
        max_age_ms: the maximum number of milliseconds since a job ended; None for no limit.
        max_jobs: the maximum number of ended jobs; None for no limit.
        max_bytes: the maximum total bytes of the measured files of ended jobs; None for no limit.
    """
    # Arguments are text; Lua's tonumber('') is nil.
    limits = ["" if value is None else value for value in (max_age_ms, max_jobs, max_bytes)]
    return Call("expire", [limit, *limits], texts)


def unarchived(*, limit: int, pause_ms: int) -> Call[list[str]]:
    """
    Return ``tenant/id`` of ended jobs whose rows and history are still to be moved to files.

    Args:
        limit: the maximum number of jobs.
        pause_ms: milliseconds before another call may return the same jobs.
    """
    return Call("unarchived", [limit, pause_ms], texts)


def archived(
    tenant: str, job_id: str, *, rows: int, entries: int, files: Mapping[str, Any]
) -> Call[Literal["ok", "already", "missing", "differs"]]:
    """
    Record that the rows and the history of an ended job are in files; remove them from Redis.

    The call returns one of these outcomes; only ``ok`` means that it has changed something:

    - ``ok``: the files are recorded.
    - ``already``: the job was archived before, in other files, which remain valid.
    - ``missing``: the job does not exist any more.
    - ``differs``: the job has not ended, or has another number of rows or entries.

    Args:
        tenant: the job's tenant.
        job_id: the job's id.
        rows: the number of rows in the file.
        entries: the number of entries that the history had when the files were written.
        files: the path, sha256 and size of each file. The key of the file with the rows is
            ``rows``; that of the file with the history is ``events``. Without ``events``, the
            history stays in Redis.
    """
    # This text is stored as it is and compared on a repeated call: equal text returns ok, any other
    # returns already.
    args = [tenant, job_id, rows, entries, json_text(files)]
    return Call("archived", args, text)  # type: ignore[arg-type]  # one of the outcomes


def unmeasured(*, limit: int) -> Call[list[str]]:
    """Return ``tenant/id`` of up to *limit* ended jobs whose files have not been measured."""
    # The server picks at random. Nothing puts off a job that cannot be measured, so in a fixed
    # order such jobs would come first each time and keep all others from being measured.
    return Call("unmeasured", [limit], texts, reads_only=True)


def measured(tenant: str, job_id: str, *, size: int) -> Call[None]:
    """Record *size*, the total size in bytes of the files that belong to an ended job."""
    return Call("measured", [tenant, job_id, size], lambda reply: None)


def removed(*, limit: int, pause_ms: int) -> Call[list[str]]:
    """
    Return ``tenant/id`` of up to *limit* removed jobs whose files may still exist.

    No other call returns the same jobs for *pause_ms* milliseconds.
    """
    return Call("removed", [limit, pause_ms], texts)


def files_deleted(tenant: str, job_id: str) -> Call[None]:
    """Record that the files of a removed job are deleted."""
    return Call("files_deleted", [tenant, job_id], lambda reply: None)


def owned(tenant: str, job_id: str) -> Call[Owned | None]:
    """Return the files that a job may need, or None if there is no such job."""

    def read(reply: bytes | list[Any]) -> Owned | None:
        if isinstance(reply, bytes):
            return None
        attempt, token, *paths = reply
        return Owned(int(attempt), text(token), texts(paths))

    return Call("owned", [tenant, job_id], read, reads_only=True)


def store_id(word: str) -> Call[tuple[str, bool]]:
    """
    Return the name of the store (the data in Redis), and whether a file in its storage has it.

    Args:
        word: the name that the store gets if it has none yet.
    """
    return Call("store_id", [word], lambda reply: (text(reply[0]), bool(reply[1])))


def storage_named() -> Call[None]:
    """Record that the storage is marked: a file in the storage contains the store's name."""
    return Call("storage_named", [], lambda reply: None)
