"""Estimates how long a job would take on the workers that are alive."""

from __future__ import annotations

import logging
from collections import Counter

import redis

from optcore.plan.expected import expected_time
from optcore.plan.likeness import likeness
from optserve.contract.answers.plans import ExpectedTime
from optserve.contract.requests.job import JobSpec
from store.errors import StoreUnavailable
from store.jobs.views import Store

log = logging.getLogger(__name__)


async def expected_times(store: Store, spec: JobSpec) -> list[ExpectedTime] | None:
    """
    Return how long a job with *spec* would take on each kind of live worker.

    Return None if the store, which has the workers and the durations of past jobs, cannot be
    reached.
    """
    device = spec.training.device
    try:
        workers = await store.workers()
        kinds = Counter(
            (worker.device, worker.fingerprint)
            for worker in workers
            if worker.fingerprint and device in ("auto", worker.device)
        )
        durations = await store.durations(likeness(spec), [name for _, name in kinds])
    except (redis.RedisError, StoreUnavailable) as error:  # a plan needs no store
        log.warning("how long a job takes is unknown: %s", error)
        return None
    found = []
    for (where, fingerprint), jobs in zip(kinds, durations, strict=True):
        known = expected_time(spec.total_steps, jobs)
        found.append(
            ExpectedTime(
                device=where,
                fingerprint=fingerprint,
                workers=kinds[where, fingerprint],
                jobs=0 if known is None else known.jobs,
                lowest_s=None if known is None else known.lowest_s,
                highest_s=None if known is None else known.highest_s,
            )
        )
    return found
