"""The reaper: takes back jobs from dead workers, and wakes idle workers for waiting jobs."""

from __future__ import annotations

import logging

import redis

from store.jobs import calls
from store.redis import doorbell
from store.redis.functions import send

log = logging.getLogger(__name__)

PER_ROUND = 100
"""Maximum number of jobs taken back by one call, so that a call does not block Redis for long."""


class Reaper:
    """
    Round that takes back jobs whose lease or time limit has expired, and wakes idle workers.

    Workers are woken by a message when a job is queued (`store.redis.doorbell`). This round sends
    the message again if a job waits although a worker is idle, since the message may have been
    lost.

    Args:
        client: the Redis client.
        lease_s: length of a lease in seconds. For this long after the Redis server has started, no
            lease counts as expired, so that workers can renew their leases first.
    """

    name = "reaper"
    period_s = 1.0

    def __init__(self, client: redis.Redis, *, lease_s: float) -> None:
        self._client, self._lease_ms = client, int(lease_s * 1000)

    def run(self) -> None:
        """Take back some jobs; wake workers for jobs that wait although a worker is idle."""
        # One call, which the server runs as a whole: a reaper that dies cannot leave a job that is
        # neither running nor queued.
        reaped = send(self._client, calls.reap(limit=PER_ROUND, lease_ms=self._lease_ms))
        for member in reaped.jobs:
            log.warning("%s lost its worker", member)
        for member in reaped.overtime:
            log.warning("%s was taken from its worker: the job exceeded its time limit", member)
        # Last, since RQ's calls may fail. The jobs are in the queue already, and the reaper rings
        # for them again.
        for device in reaped.wakeups:
            # "reaper" takes the place of a job id and appears only in RQ's log: the worker that
            # receives the message claims the next runnable job.
            doorbell.ring(self._client, device, "reaper")
