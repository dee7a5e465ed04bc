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
    Take back jobs whose lease has expired, and find the devices whose doorbell must be rung.

    Args:
        limit: the maximum number of jobs to take back.
        lease_ms: milliseconds after the Redis server's start within which no job is taken back
            because its lease has expired.
        overtime_ms: milliseconds past a job's time limit after which the job is taken from its
            worker.
    """
    args = [limit, lease_ms, overtime_ms]
    return Call("reap", args, lambda reply: Reaped(*(texts(part) for part in reply)))
