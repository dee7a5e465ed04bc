"""What the reaper does."""

from __future__ import annotations

from dataclasses import dataclass

from store.jobs.calls.replies import texts
from store.redis.constants import OVERTIME_MS
from store.redis.functions import Call


@dataclass(frozen=True)
class Reaped:
    """
    What the reaper did.

    Attributes:
        jobs: ``tenant/id`` of each job that lost its lease.
        wakeups: devices whose idle workers should be woken.
        overtime: ``tenant/id`` of each job that was trained on after its time was over.
    """

    jobs: list[str]
    wakeups: list[str]
    overtime: list[str]


def reap(*, limit: int, lease_ms: int, overtime_ms: int = OVERTIME_MS) -> Call[Reaped]:
    """
    Take back what lost its lease, and find out whose doorbell must be rung (again).

    Args:
        limit: jobs taken back at a time.
        lease_ms: for so long after its start a server takes nothing back.
        overtime_ms: for so long a job whose time is over is left to its worker.
    """
    args = [limit, lease_ms, overtime_ms]
    return Call("reap", args, lambda reply: Reaped(*(texts(part) for part in reply)))
