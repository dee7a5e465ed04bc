"""
Rounds: what a service does again and again, without a request, and how it is run.

A round does a little each time, and doing it twice changes nothing more: its functions on the
server check what they change. So any number of processes may run the same rounds at once. By
default each API process does; with ``OPTSERVE_CONTROL=separate`` only `control.main`.
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
"""Seconds that a process gets to answer its first requests before it runs any round."""
LEAVE_S = 3.0
"""Seconds that a round gets to finish when its process stops: one that hangs is left alone."""


class Round(Protocol):
    """
    Something that is done every *period_s* seconds, by as many processes as want to.

    Attributes:
        name: for the log.
        period_s: seconds between two runs.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def period_s(self) -> float: ...  # noqa: D102

    def run(self) -> None:
        """Do a little of it; what is left is for the next time."""
        ...


def rounds_of(
    client: redis.Redis,
    storage: Storage,
    settings: Settings,
    clock: Callable[[], float] = time.monotonic,
) -> list[Round]:
    """
    Return the rounds that a service needs.

    Args:
        client: of the store; used by all of them, from several threads.
        storage: where files of jobs lie.
        settings: how long a lease lasts, and how much is kept.
        clock: seconds.
    """
    # One for all: four rounds would each write and flush a file every second to find out the same.
    # It also gives a new storage its store's name, before any round moves something there.
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

    A file may hang for as long as its mount does: it must delay no lease. A round that fails is
    logged and tried again.
    """
    async with asyncio.TaskGroup() as group:
        for each in rounds:
            group.create_task(_repeat(each))


async def _repeat(each: Round) -> None:
    # Not asyncio's executor: its few threads are shared and waited for at exit. Reads of files that
    # hung in them have kept lost jobs from being taken back, and the process from ending.
    thread = Threads(1)
    await asyncio.sleep(START_S)
    while True:
        running = asyncio.create_task(thread.run(each.run))
        running.add_done_callback(partial(_log_error, each.name))
        try:
            # `wait` does not raise what the round raised, which would end the group and all other
            # rounds, and it does not cancel the round when it is cancelled itself: a thread cannot
            # be cancelled.
            await asyncio.wait([running])
        except asyncio.CancelledError:
            await asyncio.wait([running], timeout=LEAVE_S)  # its client is closed after this
            raise
        # Counted from the end of a run, so that a slow round does not follow upon itself at once.
        await asyncio.sleep(each.period_s)


def _log_error(name: str, done: asyncio.Task[None]) -> None:
    error = None if done.cancelled() else done.exception()
    if isinstance(error, UNREACHABLE):
        log.warning("%s: not done now, and tried again: %s", name, error)
    elif error is not None:  # a mistake of ours; the other rounds continue, and so does the service
        log.error("%s failed, and is tried again", name, exc_info=error)
