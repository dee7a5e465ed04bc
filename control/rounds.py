"""
Rounds: the periodic tasks of a service, and the loop that runs them.

Each run of a round does a limited amount of work. Any number of processes may run the same round at
once, since the Lua functions check the data before they change it.

By default each API process runs all rounds. With ``OPTSERVE_CONTROL=separate``, only processes that
were started as ``python -m control.main`` run rounds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import redis

from control.archive import Archive, Histories
from control.orphans import Orphans
from control.reaper import Reaper
from control.retention import Retention
from control.storage import StorageCheck
from control.upgrades import Labels, Libraries
from store.redis.unreachable import UNREACHABLE
from store.settings import Settings
from store.storage.storage import Storage
from store.storage.threads import Threads

log = logging.getLogger(__name__)

START_S = 1.0
"""Seconds from the start of a process to its first round; an API process serves requests first."""
LEAVE_S = 3.0
"""Seconds that a running round gets to finish when its process stops."""


class Round(Protocol):
    """
    A periodic task, which several processes may run at the same time.

    Attributes:
        name: the name of the round, for the log.
        period_s: seconds from the end of one run to the start of the next.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def period_s(self) -> float: ...  # noqa: D102

    def run(self) -> None:
        """Do a limited amount of the work that is due; later runs do the rest."""
        ...


def rounds_of(
    client: redis.Redis,
    storage: Storage,
    settings: Settings,
    clock: Callable[[], float] = time.monotonic,
) -> list[Round]:
    """
    Return all rounds of the service.

    Args:
        client: the Redis client that all rounds use, from several threads.
        storage: the storage that holds the files of all jobs.
        settings: the settings; only those about leases and about retention are used.
        clock: function that returns the time in seconds, which must never go back.
    """
    # One check for all rounds: otherwise four rounds would each write and flush a file every second
    # to learn the same. It also marks a new storage with the store's name, before any round moves
    # something there.
    check = StorageCheck(client, storage, clock)
    return [
        Reaper(client, lease_s=settings.lease_s),
        Orphans(client, storage, check, clock),
        Archive(check),
        Histories(check),
        Retention(client, storage, check, settings),
        Labels(client),
        Libraries(client),
    ]


async def run_forever(rounds: Sequence[Round]) -> None:
    """
    Run *rounds* until cancelled, each in a thread of its own.

    If a run of a round fails, the error is logged, and the round is run again after its period. A
    round that hangs on a file delays no other round, such as the reaper, since each has its thread.
    """
    async with asyncio.TaskGroup() as group:
        for each in rounds:
            group.create_task(_repeat(each))


async def _repeat(each: Round) -> None:
    # Not asyncio's executor: its few threads are shared, and the process waits for them at exit.
    # File reads that hung in them have kept lost jobs from being taken back, and the process from
    # ending.
    thread = Threads(1)
    await asyncio.sleep(START_S)
    while True:
        running = asyncio.create_task(thread.run(each.run))
        running.add_done_callback(partial(_log_error, each.name))
        try:
            # `wait` does not raise the round's error, which would end the group and all other
            # rounds. Nor does it cancel the round when it is cancelled itself: a thread cannot be
            # cancelled.
            await asyncio.wait([running])
        except asyncio.CancelledError:
            await asyncio.wait([running], timeout=LEAVE_S)  # the client is closed after this
            raise
        # Counted from the end of a run, so that a slow round does not start again at once.
        await asyncio.sleep(each.period_s)


def _log_error(name: str, done: asyncio.Task[None]) -> None:
    error = None if done.cancelled() else done.exception()
    if isinstance(error, UNREACHABLE):
        log.warning("the round %s could not run now, and will be retried: %s", name, error)
    elif error is not None:  # a bug; the other rounds and the service continue
        log.error("the round %s failed, and will be retried", name, exc_info=error)
