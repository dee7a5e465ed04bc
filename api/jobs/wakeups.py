"""Wakes workers after a request has put a job into the queue."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import redis
from fastapi.concurrency import run_in_threadpool

from store.redis import doorbell
from store.redis.unreachable import UNREACHABLE

log = logging.getLogger(__name__)


async def wake_workers(client: redis.Redis, devices: Sequence[str], job_id: str) -> None:
    """
    Wake a worker for each of *devices*, to run the job.

    RQ has no async client, so the call runs in a thread. If it fails, the request still succeeds:
    the job is stored already, and the reaper wakes a worker within seconds.
    """
    if devices:
        await run_in_threadpool(_wake, client, devices, job_id)


def _wake(client: redis.Redis, devices: Sequence[str], job_id: str) -> None:
    for device in devices:
        try:
            doorbell.ring(client, device, job_id)
        except UNREACHABLE as error:
            log.warning("for the job %s, no worker on %s could be woken: %s", job_id, device, error)
