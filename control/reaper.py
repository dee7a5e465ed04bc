"""The reaper: takes back what lost its worker, and rings again where a bell went unheard."""

from __future__ import annotations

import asyncio
import logging

import redis

from control.retention import House
from store.jobs import calls
from store.redis import doorbell
from store.redis.functions import send
from store.redis.unreachable import UNREACHABLE
from store.storage.threads import Threads

log = logging.getLogger(__name__)

PERIOD_S = 1.0
LEAVE_S = 3.0
"""Seconds that the house has to finish when the service stops: a hung file is left alone."""
PER_ROUND = 100
"""Jobs taken back at a time, so that no round keeps the store busy for long."""


async def reap_forever(client: redis.Redis, house: House, *, lease_s: float) -> None:
    """Reap and keep house until cancelled; a store that is away is waited for."""
    reaper, keeper = Threads(1), Threads(1)
    reaping = keeping = asyncio.create_task(asyncio.sleep(0))
    try:
        while True:
            await asyncio.sleep(PERIOD_S)
            reaping = asyncio.create_task(reaper.run(reap, client, lease_s=lease_s))
            try:
                await asyncio.shield(reaping)
            except UNREACHABLE as error:
                log.warning("the reaper could not reach the store: %s", error)
                continue
            if keeping.done():  # files may be slow, and no lease waits for them
                keeping = asyncio.create_task(keeper.run(_keep, house))
    finally:
        await asyncio.wait([reaping])  # the client is closed after this
        await asyncio.wait([keeping], timeout=LEAVE_S)


def _keep(house: House) -> None:
    try:
        house.keep()
    except (redis.RedisError, OSError) as error:
        log.warning("what is not kept could not be removed: %s", error)


def reap(client: redis.Redis, *, lease_s: float) -> None:
    """Do one round."""
    reaped = send(client, calls.reap(limit=PER_ROUND, lease_ms=int(lease_s * 1000)))
    for member in reaped.jobs:
        log.warning("%s lost its worker", member)
    for member in reaped.overtime:
        log.warning("%s was taken from its worker: its time was over", member)
    for device in reaped.bells:
        doorbell.ring(client, device, "reaper")
