"""Estimates how long a job would take on the workers that are alive."""

from __future__ import annotations

import logging

import redis

from optcore.plan.expected import expected_time
from optcore.plan.likeness import likeness
from optserve.contract.answers.plans import ExpectedTime
from optserve.contract.requests.job import JobSpec
from store.errors import StoreUnavailable
from store.jobs.calls import ClassDurations
from store.jobs.views import Store

log = logging.getLogger(__name__)


async def expected_times(store: Store, spec: JobSpec) -> list[ExpectedTime] | None:
    """
    Return how long a job with *spec* would take on each kind of live worker.

    Return None if the store, which has the workers and the durations of past jobs, cannot be
    reached.
    """
    try:
        # One call, and not one for each worker: a plan waits for the store.
        classes = await store.durations(spec.training.device, likeness(spec))
    except (redis.RedisError, StoreUnavailable) as error:  # a plan needs no store
        log.warning("how long a job takes is unknown: %s", error)
        return None
    return [_expected(spec.total_steps, each) for each in classes]


def _expected(steps: int, known: ClassDurations) -> ExpectedTime:
    time = expected_time(steps, known.jobs)
    return ExpectedTime(
        device=known.device,
        fingerprint=known.fingerprint,
        workers=known.workers,
        jobs=0 if time is None else time.jobs,
        lowest_s=None if time is None else time.lowest_s,
        highest_s=None if time is None else time.highest_s,
    )
