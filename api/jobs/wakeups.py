"""Wakes workers when a request has made work for them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import redis

from store.redis import doorbell
from store.redis.unreachable import UNREACHABLE

log = logging.getLogger(__name__)


def wake_workers(client: redis.Redis, devices: Sequence[str], job_id: str) -> None:
    """
    Wake a worker of each of *devices*.

    The job is stored already: if the wakeup fails, the reaper repeats it within seconds, so the
    request succeeds all the same.
    """
    for device in devices:
        try:
            doorbell.ring(client, device, job_id)
        except UNREACHABLE as error:
            log.warning("%s: a worker for %s could not be woken: %s", job_id, device, error)
