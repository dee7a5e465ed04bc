"""The call that returns figures about the whole service, for monitoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from store.jobs.calls.replies import texts
from store.redis.functions import Call


@dataclass(frozen=True)
class Monitored:
    """
    Figures about the whole service.

    Attributes:
        queued: number of queued jobs by lane: ``cpu``, ``cuda``, ``auto``, or ``fingerprint`` for
            all jobs that need a worker with a certain fingerprint (hardware and library versions).
        jobs: number of jobs by state.
        workers: number of live workers by ``device/state``.
        oldest_ms: milliseconds that the oldest queued job has waited; None if none is queued.
        lease_ms: milliseconds until the first lease expires, negative once it has expired; None if
            there is no lease.
        counters: value of each counter since Redis was set up; see `store.redis.keys.COUNTERS`.
        set_aside: number of members that could not be handled, by kind; see `SetAside`.
    """

    queued: dict[str, int]
    jobs: dict[str, int]
    workers: dict[str, int]
    oldest_ms: int | None
    lease_ms: int | None
    counters: dict[str, int]
    set_aside: dict[str, int]


def monitored() -> Call[Monitored]:
    """Return figures about the whole service."""

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
