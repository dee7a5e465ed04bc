"""The recent events of one job, encoded once and shared by all its subscribers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from api.metrics.streams import events
from api.metrics.streams.cursor import Cursor
from api.metrics.streams.subscriber import Subscriber, Waker
from optserve.contract.states import State
from store.jobs.progress import Progress
from store.jobs.record import Record
from store.jobs.series import Row

RETAINED_FRAMES = 64
RETAINED_BYTES = 256 * 1024
RETAINED_S = 3.0
"""A frame is dropped when it is older than this many seconds and the retained frames exceed
`RETAINED_FRAMES` in number or `RETAINED_BYTES` in size."""


class SubscriberTooSlow(Exception):
    """A subscriber has read too slowly: its next event is no longer retained."""


@dataclass(frozen=True, slots=True)
class Frame:
    """
    An event for all subscribers of a job, or a change of their cursors without an event.

    Attributes:
        number: the number of the frame in its feed, from 0.
        before: the cursor that a subscriber must have to receive the frame.
        after: the subscriber's cursor after the frame.
        data: the encoded event; empty if there is no event.
        made_at: the time when the frame was made, in seconds of the event loop's clock.
        state: the state that the event announces; None if the event announces no state.
        last: whether the event is the final one.
    """

    number: int
    before: Cursor
    after: Cursor
    data: bytes
    made_at: float
    state: State | None = None
    last: bool = False


class Feed:
    """
    The recent events of one job. The poller publishes them; each subscriber reads at its own speed.

    Attributes:
        record: the record of the job at the time of its first subscription.
        cursor: the cursor at the last published row.
        state: the state that was published last.
        attempt: number of times that a worker has claimed the job.
        truncations: for each truncation of the job so far, the first row removed.
        entries: number of entries in the job's history.
        ended: whether the final event is published.
        abandoned: whether the feed ended without a final event, because the job was removed or its
            rows cannot be read.
        next_number: number of the next frame.
        subscribers: the subscribers to wake for a new frame.
    """

    def __init__(self, record: Record, now: float, waker: Waker) -> None:
        self.record = record
        self.cursor = Cursor(record.rows - 1, len(record.truncations))
        self.state, self.attempt, self.truncations = (
            record.state,
            record.attempt,
            record.truncations,
        )
        self.entries = int(record.fields["rev"])
        self.ended = self.abandoned = False
        self.subscribers: set[Subscriber] = set()
        self._waker = waker
        self.next_number = 0
        self._frames: deque[Frame] = deque()
        if record.state.final:
            self.end(record, now)

    @contextmanager
    def subscribed(self, subscriber: Subscriber) -> Iterator[None]:
        """Wake *subscriber* for every new frame for as long as the context lasts."""
        self.subscribers.add(subscriber)
        try:
            yield
        finally:
            self.subscribers.discard(subscriber)

    # The poller's side.

    def update(self, progress: Progress, now: float) -> bool:
        """Publish the changes in *progress*, but not new rows; return whether the job changed."""
        known = (self.state, self.truncations, self.entries, self.cursor.last + 1)
        changed = known != (progress.state, progress.truncations, progress.events, progress.rows)
        if progress.events != self.entries:
            self.entries = progress.events
            self.wake()
        self.attempt = progress.attempt
        if progress.state is not self.state:
            self.state = progress.state
            data = events.state(progress.state, progress.attempt)
            self._publish(self.cursor, data, now, state=progress.state)
        if progress.truncations != self.truncations:
            self.truncations = progress.truncations
            valid = self.cursor.after(progress.truncations)
            # Subscribers that have none of the removed rows get no event, but their cursors must
            # still count the truncation.
            data = events.truncated(valid) if valid.last < self.cursor.last else b""
            self._publish(valid, data, now)
        return changed

    def add(self, batch: Sequence[Row], now: float) -> None:
        """Publish the rows in *batch*, which follow those already published."""
        after = Cursor(self.cursor.last + len(batch), self.cursor.truncations)
        self._publish(after, events.rows(self.record.series.columns, batch, after), now)

    def end(self, record: Record, now: float) -> None:
        """Publish the final event."""
        self._publish(self.cursor, events.end(record), now, last=True)
        self.ended = True

    def abandon(self) -> None:
        """End all streams of the job, because it no longer exists or its rows cannot be read."""
        self.abandoned = True
        self.wake()

    def wake(self) -> None:
        """Wake all subscribers."""
        self._waker.wake(self.subscribers)

    def _publish(
        self,
        after: Cursor,
        data: bytes,
        now: float,
        *,
        state: State | None = None,
        last: bool = False,
    ) -> None:
        frame = Frame(self.next_number, self.cursor, after, data, now, state, last)
        self._frames.append(frame)
        self.next_number += 1
        self.cursor = after
        # Age is checked first: a burst of large events must not drop a subscriber that reads well.
        size = sum(len(retained.data) for retained in self._frames)
        while now - self._frames[0].made_at > RETAINED_S and (
            size > RETAINED_BYTES or len(self._frames) > RETAINED_FRAMES
        ):
            size -= len(self._frames.popleft().data)
        self.wake()

    # The subscribers' side.

    def frame_at(self, cursor: Cursor) -> int | None:
        """
        Return the number of the next frame for a subscriber at *cursor*.

        Return None if no retained frame begins at *cursor*. The subscriber must then first read the
        rows up to a retained frame from the store.
        """
        if self.ended and cursor.truncations == self.cursor.truncations:
            # The client may have requested the rows after a step that the job never reached.
            cursor = Cursor(min(cursor.last, self.cursor.last), cursor.truncations)
        for frame in self._frames:
            # Cursors count truncations: a cursor from before a truncation fits no later frame.
            if frame.before == cursor:
                return frame.number
        return self.next_number if cursor == self.cursor else None

    def num_missing(self, cursor: Cursor) -> int:
        """
        Return the number of rows from *cursor* to the next retained frame.

        If no frame after *cursor* is retained, return the number of rows from *cursor* to the last
        published row.
        """
        starts = [
            frame.before.last
            for frame in self._frames
            if frame.before.truncations == cursor.truncations and frame.before.last > cursor.last
        ]
        return min([*starts, self.cursor.last]) - cursor.last

    def frames_from(self, number: int) -> Sequence[Frame]:
        """
        Return the frames from *number* on.

        Raises:
            SubscriberTooSlow: frame *number* is no longer retained.
        """
        if number == self.next_number:
            return ()
        first = self._frames[0].number
        if number < first:
            raise SubscriberTooSlow
        return [self._frames[i] for i in range(number - first, len(self._frames))]
