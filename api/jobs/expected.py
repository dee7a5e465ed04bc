"""Estimates how long a job would take on the workers that are alive."""

from __future__ import annotations

import logging
import math
import time

import redis

from optcore.plan.expected import expected_time
from optcore.plan.likeness import likeness
from optserve.contract.answers.plans import ExpectedTime
from optserve.contract.requests.job import JobSpec
from store.errors import StoreUnavailable
from store.jobs.calls import ClassDurations
from store.jobs.views import Store

log = logging.getLogger(__name__)

FRESH_S = 1.0
"""Seconds for which the durations that were read last are used again."""
MAX_KNOWN = 256
"""Largest number of kinds of jobs whose durations are kept in memory."""


class ExpectedTimes:
    """
    Estimates how long jobs would take on the workers that are alive.

    The estimates are made from the durations of earlier jobs of the same kind. The durations of one
    kind of job are read from the store at most once in *fresh_s* seconds, since a form validates
    its job after each change. Reading them takes as long as the rest of a small job's plan.

    Args:
        store: the store, which has the workers and the durations.
        fresh_s: number of seconds for which durations that were read are used again.
    """

    def __init__(self, store: Store, *, fresh_s: float = FRESH_S) -> None:
        self._store, self._fresh_s = store, fresh_s
        # In the order in which they were read.
        self._known: dict[tuple[str, str], tuple[float, list[ClassDurations]]] = {}

    async def of(self, spec: JobSpec) -> list[ExpectedTime] | None:
        """
        Return how long a job with *spec* would take on each kind of live worker.

        Return None if the store cannot be reached.
        """
        try:
            classes = await self._durations(spec.training.device, likeness(spec))
        except (redis.RedisError, StoreUnavailable) as error:  # a plan needs no store
            log.warning("how long a job takes is unknown: %s", error)
            return None
        return [_expected(spec.total_steps, each) for each in classes]

    async def _durations(self, device: str, like: str) -> list[ClassDurations]:
        now = time.monotonic()
        read_at, classes = self._known.get((device, like), (-math.inf, []))
        if now - read_at < self._fresh_s:
            return classes
        # One call, and not one for each worker: a plan waits for the store.
        classes = await self._store.durations(device, like)
        self._known.pop((device, like), None)
        self._known[device, like] = now, classes
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return classes


def _expected(steps: int, known: ClassDurations) -> ExpectedTime:
    found = expected_time(steps, known.jobs)
    return ExpectedTime(
        device=known.device,
        fingerprint=known.fingerprint,
        workers=known.workers,
        jobs=0 if found is None else found.jobs,
        lowest_s=None if found is None else found.lowest_s,
        highest_s=None if found is None else found.highest_s,
    )
