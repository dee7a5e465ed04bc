"""The events for one client: rows, states, truncations and end of a job, or the job's history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from api.metrics.streams import events
from api.metrics.streams.cursor import Cursor
from api.metrics.streams.feed import Feed
from api.metrics.streams.poller import POLL_S, RETRY_S, ROWS_PER_EVENT, Poller
from api.metrics.streams.subscriber import Subscriber
from optserve.contract.states import State
from store.jobs.record import Record
from store.jobs.views import Store, TruncatedMeanwhile
from store.redis.unreachable import UNREACHABLE

BYTES_PER_WRITE = 16 * 1024
"""Events are joined into writes of about this size. On a slow connection, a larger write might take
longer than the stall timeout."""
ENTRIES_PER_READ = 100
"""Entries of a history read at a time."""


class Subscription:
    """
    Follows a job's rows for one client.

    The feed of a job retains only recent events, as frames that all clients share. A client may
    lack rows from before these frames. Such rows are read from the store, in batches, until a frame
    begins at the client's cursor. From then on the client gets the frames.

    Nothing is awaited between finding the first of these frames and taking it. So no row is sent
    twice or left out.

    Attributes:
        cursor: the position of the client.
    """

    def __init__(self, feed: Feed, store: Store, subscriber: Subscriber, cursor: Cursor) -> None:
        self._feed, self._store, self._subscriber = feed, store, subscriber
        self.cursor = cursor
        self._sent_state: State | None = None
        self._sent_at = 0

    async def events(self) -> AsyncIterator[bytes]:
        """
        Yield encoded events, one or several at a time, until the last event or `Subscriber.close`.

        Raises:
            SubscriberTooSlow: the client has fallen too far behind, and must resume by event id.
        """
        yield events.retry()
        number: int | None = None
        while number is None:
            for event in self._changes():
                yield event
            number = self._feed.frame_at(self.cursor)
            if number is None:
                data = await self._catch_up()
                if data:
                    yield data
            if self._subscriber.closing or self._feed.abandoned:
                return
        async for data in self._shared(number):
            yield data

    def _changes(self) -> list[bytes]:
        """Return the events to send before further rows: a new state and a truncation, if any."""
        found = []
        feed = self._feed
        if feed.state is not self._sent_state:
            self._sent_state, self._sent_at = feed.state, feed.next_number
            found.append(events.state(feed.state, feed.attempt))
        if self.cursor.truncations < feed.cursor.truncations:
            known, self.cursor = self.cursor, self.cursor.after(feed.truncations)
            if self.cursor.last < known.last:
                found.append(events.truncated(self.cursor))
        return found

    async def _catch_up(self) -> bytes:
        """
        Return an event with some of the missing rows.

        If no rows can be read now, return a ping if one is due, else no bytes.
        """
        count = min(self._feed.num_missing(self.cursor), ROWS_PER_EVENT)
        if count <= 0 or self.cursor.truncations > self._feed.cursor.truncations:
            # The client is ahead of this process's feed: it resumes a stream of another process.
            await self._subscriber.wait()
            return self._ping()
        record = self._feed.record
        try:
            batch = await self._store.rows(record, first=self.cursor.last + 1, count=count)
        except UNREACHABLE:
            await asyncio.sleep(RETRY_S)
            return self._ping()
        except TruncatedMeanwhile:
            await asyncio.sleep(POLL_S)  # the poller publishes the truncation with its next poll
            return self._ping()
        self.cursor = Cursor(self.cursor.last + len(batch), self.cursor.truncations)
        return events.rows(record.series.columns, batch, self.cursor)

    async def _shared(self, number: int) -> AsyncIterator[bytes]:
        """Yield the events that all subscribers of the job share, from frame *number* on."""
        while not self._subscriber.closing:
            parts: list[bytes] = []
            size, last = 0, False
            for frame in self._feed.frames_from(number):
                number = frame.number + 1
                last = frame.last
                if not self._has_sent(frame.number, frame.state):
                    parts.append(frame.data)
                    size += len(frame.data)
                if size >= BYTES_PER_WRITE:
                    break
            if size:
                # Joined only if there are several: all clients share the bytes of one frame.
                yield parts[0] if len(parts) == 1 else b"".join(parts)
            if last or self._feed.abandoned:
                return
            if number == self._feed.next_number:
                await self._subscriber.wait()
                ping = self._ping()
                if ping:
                    yield ping

    def _has_sent(self, number: int, state: State | None) -> bool:
        """
        Return whether the client already has *state*; if not, record that *state* is sent now.

        If *state* is None, return False and record nothing.

        Args:
            number: the number of the frame.
            state: the state that the frame announces; None if it announces no state.
        """
        if state is None:
            return False
        if number < self._sent_at or state is self._sent_state:
            return True
        self._sent_state = state
        return False

    def _ping(self) -> bytes:
        return _ping_if_due(self._subscriber)


async def follow(
    record: Record, cursor: Cursor, poller: Poller, store: Store, subscriber: Subscriber
) -> AsyncGenerator[bytes, None]:
    """
    Yield a job's rows after *cursor*, its changes of state, its truncations, and its end.

    Args:
        record: the record of the job, read a moment ago.
        cursor: the position of the client.
        poller: the poller of this process.
        store: the store from which missing rows are read.
        subscriber: the client.

    Raises:
        SubscriberTooSlow: the client has fallen too far behind, and must resume by event id.
    """
    with poller.subscribed(record, subscriber) as feed:
        async for data in Subscription(feed, store, subscriber, cursor).events():
            yield data


async def follow_history(
    record: Record, after: int, poller: Poller, store: Store, subscriber: Subscriber
) -> AsyncGenerator[bytes, None]:
    """
    Yield a job's history, until the job has ended and all entries are sent.

    *after* is the number of an entry: only later entries are sent.
    """
    yield events.retry()
    with poller.subscribed(record, subscriber) as feed:
        while not subscriber.closing:
            complete = feed.state.final and feed.entries <= after
            try:
                entries = await store.events(
                    record.tenant, record.id, after=after, limit=ENTRIES_PER_READ
                )
            except UNREACHABLE:
                await asyncio.sleep(RETRY_S)
                entries = []
                complete = False
            if entries:
                after = entries[-1].id
                yield b"".join(map(events.entry, entries))
            # A deleted job (`abandoned`) has no further entries, even if its last known number of
            # entries is larger than *after*: otherwise this loop would poll without a pause.
            elif complete or feed.abandoned:
                return
            elif feed.entries <= after:
                await subscriber.wait()
            ping = _ping_if_due(subscriber)
            if ping:
                yield ping


def _ping_if_due(subscriber: Subscriber) -> bytes:
    due, subscriber.ping_due = subscriber.ping_due, False
    return events.PING if due else b""
