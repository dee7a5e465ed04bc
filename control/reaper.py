"""The reaper: takes back jobs that lost their worker, and rings again where no worker came."""

from __future__ import annotations

import logging

import redis

from store.jobs import calls
from store.redis import doorbell
from store.redis.functions import send

log = logging.getLogger(__name__)

PER_ROUND = 100
"""Jobs taken back at a time, so that no round keeps the store busy for long."""


class Reaper:
    """
    Takes back jobs whose lease is over, and rings the doorbell for jobs that wait unheard.

    Args:
        client: of the store.
        lease_s: seconds a worker holds a job without a sign of life.
    """

    name = "reaper"
    period_s = 1.0

    def __init__(self, client: redis.Redis, *, lease_s: float) -> None:
        self._client, self._lease_ms = client, int(lease_s * 1000)

    def run(self) -> None:
        """Take back what is due; no more than some, since the store does nothing else meanwhile."""
        reaped = send(self._client, calls.reap(limit=PER_ROUND, lease_ms=self._lease_ms))
        for member in reaped.jobs:
            log.warning("%s lost its worker", member)
        for member in reaped.overtime:
            log.warning("%s was taken from its worker: its time was over", member)
        # Last, since RQ's calls may fail. Then the reaper rings again: the jobs are in the queue
        # already.
        for device in reaped.wakeups:
            # In place of an id, for RQ's log alone: the worker that answers takes the job that is
            # next.
            doorbell.ring(self._client, device, "reaper")
