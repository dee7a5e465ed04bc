"""Calls about long histories, whose older entries are moved to files while the job runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from store.jobs.calls.replies import text, texts
from store.redis.functions import Call


def long_histories(*, limit: int, pause_ms: int) -> Call[list[str]]:
    """
    Return ``tenant/id`` of jobs whose histories have more than `HISTORY_ENTRIES` entries in Redis.

    Args:
        limit: the maximum number of jobs.
        pause_ms: milliseconds before another call may return the same jobs.
    """
    return Call("long_histories", [limit, pause_ms], texts)


def history_moved(
    tenant: str,
    job_id: str,
    *,
    moved: int,
    count: int,
    files: str,
    evaluated: Sequence[int],
) -> Call[Literal["ok", "already", "missing", "differs"]]:
    """
    Record that the next *count* entries of a history are in files, and remove them from Redis.

    The call returns one of these outcomes; only ``ok`` means that it has changed something:

    - ``ok``: the entries are recorded as moved.
    - ``already``: these files were recorded before.
    - ``missing``: the job does not exist any more.
    - ``differs``: another process has moved entries meanwhile, the job was archived, or Redis has
      fewer entries than *count*.

    Args:
        tenant: the job's tenant.
        job_id: the job's id.
        moved: the number of entries that were in files before this move.
        count: the number of entries that this move puts into files.
        files: all files of the history, in order, as JSON: path, sha256, size, count and rank.
        evaluated: the steps of the evaluations among the moved entries.
    """
    args: list[Any] = [tenant, job_id, moved, count, files, *evaluated]
    return Call("history_moved", args, text)  # type: ignore[arg-type]  # one of the outcomes
