"""Ringing for workers, from a request."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import redis

from store.redis import doorbell
from store.redis.unreachable import UNREACHABLE

log = logging.getLogger(__name__)


def ring(client: redis.Redis, devices: Sequence[str], job_id: str) -> None:
    """Ring; a bell that cannot be rung now is rung by the reaper within seconds."""
    for device in devices:
        try:
            doorbell.ring(client, device, job_id)
        except UNREACHABLE as error:
            log.warning("%s: the bell for %s could not be rung: %s", job_id, device, error)
