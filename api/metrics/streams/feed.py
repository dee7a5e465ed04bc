"""What those who watch the same job share: how far it is, and the last events, encoded once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from api.metrics.streams import events
from api.metrics.streams.cursor import Place
from api.metrics.streams.subscriber import Waker, Watcher
from optserve.contract.states import State
from store.jobs.record import Record
from store.jobs.series import Row
from store.jobs.views import Progress

KEPT_FRAMES = 64
KEPT_BYTES = 256 * 1024
KEPT_S = 3.0
"""A frame stays until it is that old and there are more, or larger ones, than these."""


class TooSlow(Exception):
    """Who watches has fallen so far behind that what comes next for it is no longer shared."""


@dataclass(frozen=True, slots=True)
class Frame:
    """
    An event that all who watch get, or a step between two places that needs none.

    Attributes:
        number: 0 for the feed's first.
        before: where a reader must be to whom it is told.
        after: where it is then.
        data: the event as it is sent.
        made: when, in seconds of the loop's clock.
        state: that it tells, if it tells one.
        last: whether nothing comes after it.
    """

    number: int
    before: Place
    after: Place
    data: bytes
    made: float
    state: State | None = None
    last: bool = False


class Feed:
    """
    The news of one job, kept for some seconds: who watches takes them at its own pace.

    Attributes:
        record: of the job, as it was when somebody began to watch.
        place: how far the rows go that were told.
        state: where the job stands.
        attempt: how many workers have begun it.
        cuts: the first row of those that were cut, each time that rows were.
        entries: of its history.
        ended: whether all was told.
        gone: whether there is nothing to be told any more, though it has not ended.
        watchers: who watches.
    """

    def __init__(self, record: Record, now: float, waker: Waker) -> None:
        self.record = record
        self.place = Place(record.rows - 1, len(record.cuts))
        self.state, self.attempt, self.cuts = record.state, record.attempt, record.cuts
        self.entries = int(record.fields["rev"])
        self.ended = self.gone = False
        self.watchers: set[Watcher] = set()
        self._waker = waker
        self.next_number = 0
        self._frames: deque[Frame] = deque()
        if record.state.final:
            self.end(record, now)

    @contextmanager
    def watched_by(self, watcher: Watcher) -> Iterator[None]:
        """Wake *watcher* whenever there is news, for as long as the context lasts."""
        self.watchers.add(watcher)
        try:
            yield
        finally:
            self.watchers.discard(watcher)

    # ---------------------------------------------------------- what the reader finds out

    def found(self, progress: Progress, now: float) -> bool:
        """Take note of a look at the job, its new rows aside; return whether it has changed."""
        told = (self.state, self.cuts, self.entries, self.place.last + 1)
        changed = told != (progress.state, progress.cuts, progress.events, progress.rows)
        if progress.events != self.entries:
            self.entries = progress.events
            self.wake()
        self.attempt = progress.attempt
        if progress.state is not self.state:
            self.state = progress.state
            data = events.state(progress.state, progress.attempt)
            self._publish(self.place, data, now, state=progress.state)
        if progress.cuts != self.cuts:
            self.cuts = progress.cuts
            kept = self.place.after(progress.cuts)
            self._publish(kept, events.cut(kept) if kept.last < self.place.last else b"", now)
        return changed

    def add(self, batch: Sequence[Row], now: float) -> None:
        """Tell of the rows after those that were told."""
        after = Place(self.place.last + len(batch), self.place.cuts)
        self._publish(after, events.rows(self.record.series.columns, batch, after), now)

    def end(self, record: Record, now: float) -> None:
        """Tell that the job has ended."""
        self._publish(self.place, events.end(record), now, last=True)
        self.ended = True

    def leave(self) -> None:
        """Let everybody go: there is no such job any more, or its rows cannot be read."""
        self.gone = True
        self.wake()

    def wake(self) -> None:
        """Let everybody look."""
        self._waker.wake(self.watchers)

    def _publish(
        self,
        after: Place,
        data: bytes,
        now: float,
        *,
        state: State | None = None,
        last: bool = False,
    ) -> None:
        frame = Frame(self.next_number, self.place, after, data, now, state, last)
        self._frames.append(frame)
        self.next_number += 1
        self.place = after
        size = sum(len(kept.data) for kept in self._frames)
        while now - self._frames[0].made > KEPT_S and (
            size > KEPT_BYTES or len(self._frames) > KEPT_FRAMES
        ):
            size -= len(self._frames.popleft().data)
        self.wake()

    # ---------------------------------------------------------- what watchers take

    def joins(self, place: Place) -> int | None:
        """Return the number of the first frame for who is at *place*; None if it must catch up."""
        if self.ended and place.cuts == self.place.cuts:
            # Who asked for what comes after a step that never came is at the end too.
            place = Place(min(place.last, self.place.last), place.cuts)
        for frame in self._frames:
            if frame.before == place:
                return frame.number
        return self.next_number if place == self.place else None

    def missing(self, place: Place) -> int:
        """Return how many rows who is at *place* lacks until it can join."""
        starts = [
            frame.before.last
            for frame in self._frames
            if frame.before.cuts == place.cuts and frame.before.last > place.last
        ]
        return min([*starts, self.place.last]) - place.last

    def since(self, number: int) -> Sequence[Frame]:
        """
        Return the frames from *number* on.

        Raises:
            TooSlow: they are no longer kept.
        """
        if number == self.next_number:
            return ()
        first = self._frames[0].number
        if number < first:
            raise TooSlow
        return [self._frames[i] for i in range(number - first, len(self._frames))]
