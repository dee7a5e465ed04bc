"""Following a job: what happens to it, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from fastapi.sse import ServerSentEvent

from jobs.errors import JobNotFound
from jobs.metrics import Row
from jobs.record import Record
from jobs.spec.states import State
from jobs.spec.wire import RowsCut, StateChange, StreamedRows, StreamEnd, Wire
from jobs.store import Store

ROWS_PER_EVENT = 250
"""Some 12 KB: small enough to get through a connection that is cut again and again."""
ENTRIES_AT_A_TIME = 100
LOOK_AT_HISTORY_S = 0.25
"""Seconds between two looks at a history that had nothing new."""
LOOK_S = 0.05
"""Seconds between two looks at a job that had nothing new."""


@dataclass(frozen=True)
class Place:
    """
    How far a reader of a job's rows has got; as text it is the id of a stream's event.

    Attributes:
        last: the last row it has; -1 for none.
        cuts: how often rows had been cut when it got that one.
    """

    last: int
    cuts: int = 0

    @classmethod
    def parse(cls, text: str) -> Place:
        """Return the place that an event's id says: ``41``, or ``41.2`` after two cuts."""
        last, _, cuts = text.partition(".")
        return cls(int(last), int(cuts or 0))

    def __str__(self) -> str:
        return f"{self.last}.{self.cuts}" if self.cuts else str(self.last)

    def after(self, cuts: Sequence[int]) -> Place:
        """Return the place of the last row that is still what it was, given all *cuts*."""
        kept = min([self.last, *(first - 1 for first in cuts[self.cuts :])])
        return Place(kept, len(cuts))


async def follow(store: Store, record: Record, place: Place) -> AsyncIterator[ServerSentEvent]:
    """
    Yield the rows of a job after *place*, its changes of state, its cuts, and its end.

    Args:
        store: where to look.
        record: of the job, as it was a moment ago.
        place: where the reader is.
    """
    told: State | None = None
    while True:
        state, rows, attempt, cuts, _ = await store.progress(record.tenant, record.id)
        if state is not told:
            told = state
            yield _event("state", StateChange(state=state, attempt=attempt))
        known, place = place, place.after(cuts)
        if place.last < known.last:
            yield _event("cut", RowsCut(step=place.last + 1), str(place))
        waiting = rows > place.last + 1
        while place.last + 1 < rows:
            first = place.last + 1
            count = min(ROWS_PER_EVENT, rows - first)
            batch = await store.rows(record, first=first, count=count)
            if not batch:
                break  # they were cut meanwhile
            place = Place(place.last + len(batch), place.cuts)
            yield _rows(record.series.columns, batch, place)
        if state.final:
            yield _event("end", await _end(store, record))
            return
        if not waiting:
            await asyncio.sleep(LOOK_S)


async def follow_history(
    store: Store, record: Record, after: int
) -> AsyncIterator[ServerSentEvent]:
    """Yield the entries of a job's history after the entry *after*, to the one that ends it."""
    while True:
        entries = await store.events(record.tenant, record.id, after=after, limit=ENTRIES_AT_A_TIME)
        for entry in entries:
            after = entry.id
            yield _event(entry.kind, entry, str(entry.id))
        if entries:
            continue
        try:
            progress = await store.progress(record.tenant, record.id)
        except JobNotFound:
            return  # it ended long ago, and was not kept any longer
        if not progress.state.final:
            await asyncio.sleep(LOOK_AT_HISTORY_S)
        elif progress.events <= after:
            return


def _rows(columns: Sequence[str], batch: list[Row], place: Place) -> ServerSentEvent:
    """Return the event that tells of *batch*, whose last row is at *place*."""
    first = place.last + 1 - len(batch)
    rows = [[first + i, *row] for i, row in enumerate(batch)]
    data = StreamedRows(columns=["step", *columns], rows=rows)
    return _event("rows", data, str(place))


async def _end(store: Store, record: Record) -> StreamEnd:
    job = (await store.record(record.tenant, record.id)).job()
    return StreamEnd(
        state=job.state,
        reason=job.reason,
        detail=job.detail,
        ended=job.ended,
        rows=job.step,
        digest=job.digest,
    )


def _event(kind: str, data: Wire, event_id: str | None = None) -> ServerSentEvent:
    return ServerSentEvent(event=kind, raw_data=data.model_dump_json(), id=event_id)
