"""How the service is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from store.jobs.calls.replies import texts
from store.redis.functions import Call


@dataclass(frozen=True)
class Monitored:
    """
    How the service is, and what it has done.

    Attributes:
        queued: lane -> jobs that wait there; those of a fingerprint together.
        jobs: state -> jobs.
        workers: ``device/state`` -> workers that are alive.
        oldest_ms: since when that job waits which has waited longest; None if none waits.
        lease_ms: until the lease is over that is over first; None if there is none.
        counters: what has happened since the store was made.
        set_aside: kind -> members that could not be handled.
    """

    queued: dict[str, int]
    jobs: dict[str, int]
    workers: dict[str, int]
    oldest_ms: int | None
    lease_ms: int | None
    counters: dict[str, int]
    set_aside: dict[str, int]


def monitored() -> Call[Monitored]:
    """Return how the whole service is, and what it has done."""

    def counts(flat: list[Any]) -> dict[str, int]:
        names = texts(flat[::2])
        return dict(zip(names, map(int, flat[1::2]), strict=True))

    def read(reply: list[Any]) -> Monitored:
        queued, jobs, workers, oldest, lease, counters, aside = reply
        return Monitored(
            counts(queued),
            counts(jobs),
            counts(workers),
            oldest,
            lease,
            counts(counters),
            counts(aside),
        )

    return Call("monitored", [], read, reads_only=True)
