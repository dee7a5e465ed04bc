"""The reaper: takes back what lost its worker, and rings again where a bell went unheard."""

from __future__ import annotations

import asyncio
import logging

import redis

from jobs import doorbell, functions
from jobs.functions import send

log = logging.getLogger(__name__)

PERIOD_S = 1.0
PER_ROUND = 100
"""Jobs taken back at a time, so that no round keeps the store busy for long."""


async def reap_forever(client: redis.Redis) -> None:
    """Reap until cancelled; a store that is away is waited for."""
    while True:
        await asyncio.sleep(PERIOD_S)
        try:
            await asyncio.to_thread(reap, client)
        except redis.RedisError as error:
            log.warning("the reaper could not reach the store: %s", error)


def reap(client: redis.Redis) -> None:
    """Do one round."""
    reaped = send(client, functions.reap(limit=PER_ROUND))
    for member in reaped.jobs:
        log.warning("%s lost its worker", member)
    for device in reaped.bells:
        doorbell.ring(client, device, "reaper")
