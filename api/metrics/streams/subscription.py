"""Following a job: its rows, its changes of state, its cuts and its end; or its history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from api.metrics.streams import events
from api.metrics.streams.cursor import Place
from api.metrics.streams.feed import Feed
from api.metrics.streams.poller import AWAY_S, LOOK_S, ROWS_PER_EVENT, Reader
from api.metrics.streams.subscriber import Watcher
from optserve.contract.states import State
from store.jobs.record import Record
from store.jobs.views import Store
from store.redis.unreachable import UNREACHABLE

BYTES_AT_ONCE = 16 * 1024
"""What is sent at once at most, unless one event is longer: a slow line gets it through in time."""
ENTRIES_AT_A_TIME = 100


class Following:
    """
    One client's way through the rows of a job.

    Who begins early catches up by reading the store in batches of its own, until it stands where
    an event that all share begins; from there on it takes those. Nothing is awaited between
    finding that place and joining, so nothing is told twice or left out.

    Attributes:
        place: how far it is.
    """

    def __init__(self, feed: Feed, store: Store, watcher: Watcher, place: Place) -> None:
        self._feed, self._store, self._watcher, self.place = feed, store, watcher, place
        self._told: State | None = None
        self._told_at = 0

    async def events(self) -> AsyncIterator[bytes]:
        """
        Yield events, one or several at a time, to the last one, or until the watcher leaves.

        Raises:
            TooSlow: the client has fallen so far behind that it must come back by id.
        """
        yield events.retry()
        number: int | None = None
        while number is None:
            for news in self._news():
                yield news
            number = self._feed.joins(self.place)
            if number is None:
                part = await self._behind()
                if part:
                    yield part
            if self._watcher.leaving or self._feed.gone:
                return
        async for part in self._shared(number):
            yield part

    def _news(self) -> list[bytes]:
        """Return what must be told before further rows: another state, a cut."""
        found = []
        feed = self._feed
        if feed.state is not self._told:
            self._told, self._told_at = feed.state, feed.next_number
            found.append(events.state(feed.state, feed.attempt))
        if self.place.cuts < feed.place.cuts:
            known, self.place = self.place, self.place.after(feed.cuts)
            if self.place.last < known.last:
                found.append(events.cut(self.place))
        return found

    async def _behind(self) -> bytes:
        """Return some of the rows that are missing; nothing if they are not there yet."""
        count = min(self._feed.missing(self.place), ROWS_PER_EVENT)
        if count <= 0 or self.place.cuts > self._feed.place.cuts:
            await self._watcher.wait()  # it knows more than this process does by now
            return self._pong()
        record = self._feed.record
        try:
            batch = await self._store.rows(record, first=self.place.last + 1, count=count)
        except UNREACHABLE:
            await asyncio.sleep(AWAY_S)
            return self._pong()
        if not batch:
            await asyncio.sleep(LOOK_S)  # they were cut: the reader will see it
            return self._pong()
        self.place = Place(self.place.last + len(batch), self.place.cuts)
        return events.rows(record.series.columns, batch, self.place)

    async def _shared(self, number: int) -> AsyncIterator[bytes]:
        """Yield what all get, from the frame *number* on."""
        while not self._watcher.leaving:
            parts: list[bytes] = []
            size, last = 0, False
            for frame in self._feed.since(number):
                number = frame.number + 1
                last = frame.last
                if not self._knows(frame.number, frame.state):
                    parts.append(frame.data)
                    size += len(frame.data)
                if size >= BYTES_AT_ONCE:
                    break
            if size:
                yield parts[0] if len(parts) == 1 else b"".join(parts)
            if last or self._feed.gone:
                return
            if number == self._feed.next_number:
                await self._watcher.wait()
                pong = self._pong()
                if pong:
                    yield pong

    def _knows(self, number: int, state: State | None) -> bool:
        if state is None:
            return False
        if number < self._told_at or state is self._told:
            return True
        self._told = state
        return False

    def _pong(self) -> bytes:
        return _pong(self._watcher)


async def follow(
    record: Record, place: Place, reader: Reader, store: Store, watcher: Watcher
) -> AsyncGenerator[bytes, None]:
    """
    Yield the rows of a job after *place*, its changes of state, its cuts, and its end.

    Args:
        record: of the job, as it was a moment ago.
        place: where the client is.
        reader: of this process.
        store: where to catch up.
        watcher: stands for the client.

    Raises:
        TooSlow: the client has fallen so far behind that it must come back by id.
    """
    with reader.watching(record, watcher) as feed:
        async for part in Following(feed, store, watcher, place).events():
            yield part


async def follow_history(
    record: Record, after: int, reader: Reader, store: Store, watcher: Watcher
) -> AsyncGenerator[bytes, None]:
    """Yield the entries of a job's history after the entry *after*, to the one that ends it."""
    yield events.retry()
    with reader.watching(record, watcher) as feed:
        while not watcher.leaving:
            over = feed.state.final and feed.entries <= after
            try:
                entries = await store.events(
                    record.tenant, record.id, after=after, limit=ENTRIES_AT_A_TIME
                )
            except UNREACHABLE:
                await asyncio.sleep(AWAY_S)
                entries = []
                over = False
            if entries:
                after = entries[-1].id
                yield b"".join(map(events.entry, entries))
            elif over or feed.gone:
                return
            elif feed.entries <= after:
                await watcher.wait()
            pong = _pong(watcher)
            if pong:
                yield pong


def _pong(watcher: Watcher) -> bytes:
    due, watcher.pinged = watcher.pinged, False
    return events.PING if due else b""
