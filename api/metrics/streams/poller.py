"""The reader: looks at all jobs that this process's clients watch, in one round trip."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from api.metrics.streams.feed import Feed
from api.metrics.streams.subscriber import Waker, Watcher
from optserve.contract.states import State
from store.errors import JobError
from store.jobs.record import Record
from store.jobs.views import Progress, Store
from store.redis.unreachable import UNREACHABLE

log = logging.getLogger(__name__)

LOOK_S = 0.025
"""Seconds between two looks at a job that moves."""
LONGEST_S = {State.RUNNING: 0.1, State.QUEUED: 0.1}
LONGEST_WAITING_S = 0.25
"""Seconds between two looks at a job that has not moved for long; shorter where it soon may."""
PATIENCE = 4
"""A job that has not moved for so many times longer than a look is looked at less often."""
SHARE = 0.25
"""Part of the time that may be spent on looking."""
SENDS_PER_S = 5_000
"""Events that this process sends per second, to all who watch: more of them wait for each other,
and each tells of more steps."""
LONGEST_BATCH_S = 0.5
"""Seconds between two events of a job at most, however many watch."""
ROWS_PER_EVENT = 250
"""Some 12 KB: small enough to get through a connection that is cut again and again."""
ROWS_PER_LOOK = 8 * ROWS_PER_EVENT
SECONDS_PER_ROW = 1 / 20_000
"""What is told of a job is told no faster than this, so that who reads well is never too slow."""
LONGEST_LOOK_S = 0.1
"""Seconds after which the others are looked at, though what one has to tell is still being read:
it may come from a slow file."""
AWAY_S = 0.25
"""Seconds after which a store that did not answer is asked again."""


@dataclass
class Watched:
    """
    A job that is watched, and when the reader turns to it.

    Attributes:
        feed: its news.
        look_at: when it is looked at next, in seconds of the loop's clock.
        moved_at: when it last moved.
        tell_at: when its next rows may be told.
        holds: how many streams need it.
        busy: whether what is new of it is being read.
    """

    feed: Feed
    look_at: float
    moved_at: float
    tell_at: float = 0.0
    holds: int = 0
    busy: bool = False

    @property
    def waits(self) -> bool:
        """Whether it is to be looked at again."""
        return not (self.busy or self.feed.ended or self.feed.gone)


class Reader:
    """
    Looks at the watched jobs of this process, and tells their feeds what is new.

    Attributes:
        looks: rounds made so far.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watched: dict[tuple[str, str], Watched] = {}
        self._waker = Waker()
        self._some = asyncio.Event()
        self._reading: set[asyncio.Task[None]] = set()
        self._late_s = 0.0
        self.looks = 0

    @property
    def num_jobs(self) -> int:
        """How many jobs are watched."""
        return len(self._watched)

    @contextmanager
    def watching(self, record: Record, watcher: Watcher) -> Iterator[Feed]:
        """Give the feed of a job, which is looked at for as long as somebody watches."""
        now = asyncio.get_running_loop().time()
        name = (record.tenant, record.id)
        watched = self._watched.get(name)
        if watched is None or watched.feed.gone:
            watched = self._watched[name] = Watched(Feed(record, now, self._waker), now, now)
            self._some.set()
        watched.holds += 1
        try:
            with watched.feed.watched_by(watcher):
                yield watched.feed
        finally:
            watched.holds -= 1
            if not watched.holds and self._watched.get(name) is watched:
                del self._watched[name]

    async def read_forever(self) -> None:
        """Look until cancelled; a store that is away, busy or loading is waited for."""
        try:
            await self._read_forever()
        finally:
            for task in self._reading:
                task.cancel()

    async def _read_forever(self) -> None:
        loop = asyncio.get_running_loop()
        away = False
        while True:
            began = loop.time()
            due = [
                watched
                for watched in self._watched.values()
                if watched.look_at <= began and watched.waits
            ]
            try:
                await self._look(due)
            except UNREACHABLE as error:
                if not away:
                    log.warning("streams wait for the store: %s", error)
                away = True
                await asyncio.sleep(AWAY_S)
                continue
            if due:
                away = False
            await self._pause(loop.time() - began)

    async def _pause(self, took_s: float) -> None:
        """Wait for the next look; note how late it comes: the loop has too much to do then."""
        loop = asyncio.get_running_loop()
        waiting = [watched.look_at for watched in self._watched.values() if watched.waits]
        if not waiting:
            self._some.clear()
            await self._some.wait()
            return
        pause = max(min(waiting) - loop.time(), took_s * (1 - SHARE) / SHARE, 0.001)
        until = loop.time() + min(pause, LONGEST_WAITING_S)
        self._some.clear()
        try:
            async with asyncio.timeout_at(until):
                await self._some.wait()
        except TimeoutError:
            self._late_s = max(0.9 * self._late_s, loop.time() - until)

    async def _look(self, due: Sequence[Watched]) -> None:
        if not due:
            return
        self.looks += 1
        jobs = [(watched.feed.record.tenant, watched.feed.record.id) for watched in due]
        found = await self._store.progress_of(jobs)
        pairs = zip(due, found, strict=True)
        reading = [asyncio.create_task(self._told(*pair)) for pair in pairs]
        self._reading.update(reading)
        await asyncio.wait(reading, timeout=LONGEST_LOOK_S)
        done = {task for task in self._reading if task.done()}
        self._reading -= done
        failed = [error for task in done if (error := task.exception()) is not None]
        if failed:
            raise failed[0]

    async def _told(self, watched: Watched, progress: Progress | None) -> None:
        """Tell what is new of one job; what is wrong with it ends its streams, and no others."""
        watched.busy = True  # nobody else reads meanwhile: rows would be told twice
        try:
            await self._take(watched, progress)
        except JobError as error:
            log.warning("%s cannot be followed: %s", watched.feed.record.id, error)
            watched.feed.leave()
        finally:
            watched.busy = False
            self._some.set()

    async def _take(self, watched: Watched, progress: Progress | None) -> None:
        feed, now = watched.feed, asyncio.get_running_loop().time()
        if progress is None:
            feed.leave()
            return
        if feed.found(progress, now):
            watched.moved_at = now
        if progress.rows > feed.place.last + 1 and (now >= watched.tell_at or feed.state.final):
            await self._rows(watched, progress, now)
        if progress.state.final and progress.rows <= feed.place.last + 1:
            await self._end(feed)
        still = now - watched.moved_at
        longest = LONGEST_S.get(feed.state, LONGEST_WAITING_S)
        pause = max(still / PATIENCE, LOOK_S, watched.tell_at - now)
        watched.look_at = now + min(pause, longest)

    async def _rows(self, watched: Watched, progress: Progress, now: float) -> None:
        """Tell what was stored since; shorter than announced if rows were cut meanwhile."""
        feed = watched.feed
        first = feed.place.last + 1
        count = min(progress.rows - first, ROWS_PER_LOOK)
        batch = await self._store.rows(feed.record, first=first, count=count)
        for start in range(0, len(batch), ROWS_PER_EVENT):
            feed.add(batch[start : start + ROWS_PER_EVENT], now)
        streams = sum(other.holds for other in self._watched.values())
        pace = min(streams / SENDS_PER_S + 2 * self._late_s, LONGEST_BATCH_S)
        watched.tell_at = now + max(pace, len(batch) * SECONDS_PER_ROW)

    async def _end(self, feed: Feed) -> None:
        record = await self._store.record(feed.record.tenant, feed.record.id)
        feed.end(record, asyncio.get_running_loop().time())
