"""Long histories, whose older entries are moved to files while their job runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from store.jobs.calls.replies import text, texts
from store.redis.functions import Call


def long_histories(*, limit: int, pause_ms: int) -> Call[list[str]]:
    """
    Return ``tenant/id`` of jobs with more entries than the store should have.

    Args:
        limit: at most so many.
        pause_ms: milliseconds for which no other call returns them again.
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
    Say that the next entries of a history lie in files; the store forgets them.

    The call returns ok; already: it was said before; missing: there is no such job any more;
    differs: others have moved entries meanwhile, or there are fewer. Only ok changes anything.

    Args:
        tenant: the job's.
        job_id: the job's.
        moved: entries that lay in files before.
        count: how many more do now.
        files: as JSON: what lies where, in order.
        evaluated: steps of the evaluations among these entries.
    """
    args: list[Any] = [tenant, job_id, moved, count, files, *evaluated]
    return Call("history_moved", args, text)  # type: ignore[arg-type]  # one of the outcomes
