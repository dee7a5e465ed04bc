"""The call that the reaper makes: it takes back jobs whose worker is gone."""

from __future__ import annotations

from dataclasses import dataclass

from store.jobs.calls.replies import texts
from store.redis.constants import OVERTIME_MS
from store.redis.functions import Call


@dataclass(frozen=True)
class Reaped:
    """
    The jobs that a call of `reap` took back.

    Attributes:
        jobs: ``tenant/id`` of each job whose lease had expired.
        wakeups: the devices whose idle workers should be woken.
        overtime: ``tenant/id`` of each job that was still being trained past its time limit.
    """

    jobs: list[str]
    wakeups: list[str]
    overtime: list[str]


def reap(*, limit: int, lease_ms: int, overtime_ms: int = OVERTIME_MS) -> Call[Reaped]:
    """
    Take back jobs whose lease has expired or whose time limit has passed.

    The call also returns the devices whose idle workers should be woken, since a job is queued.

    Args:
        limit: the maximum number of jobs to take back for each of the two reasons.
        lease_ms: milliseconds after the start of the Redis server in which no lease counts as
            expired, since workers could not renew their leases while the server was down.
        overtime_ms: milliseconds that a worker gets to release a job whose time limit has passed,
            before the job is taken back.
    """
    args = [limit, lease_ms, overtime_ms]
    return Call("reap", args, lambda reply: Reaped(*(texts(part) for part in reply)))
