"""Following a job: what happens to it, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from fastapi.sse import ServerSentEvent

from jobs.metrics import Row
from jobs.record import Record
from jobs.spec.states import State
from jobs.spec.wire import StateChange, StreamedRows, StreamEnd, Wire
from jobs.store import Store

ROWS_PER_EVENT = 250
"""Some 12 KB: small enough to get through a connection that is cut again and again."""
LOOK_S = 0.05
"""Seconds between two looks at a job that had nothing new."""


async def follow(store: Store, record: Record, *, first: int) -> AsyncIterator[ServerSentEvent]:
    """
    Yield the rows of a job from row *first* on, its changes of state, and its end.

    Args:
        store: where to look.
        record: of the job, as it was a moment ago.
        first: number of the first row to send.
    """
    told: State | None = None
    while True:
        state, rows, attempt = await store.progress(record.tenant, record.id)
        if state is not told:
            told = state
            yield _event("state", StateChange(state=state, attempt=attempt))
        waiting = rows > first
        while first < rows:
            count = min(ROWS_PER_EVENT, rows - first)
            batch = await store.rows(record, first=first, count=count)
            yield _rows(record.series.columns, first, batch)
            first += len(batch)
        if state.final:
            yield _event("end", await _end(store, record))
            return
        if not waiting:
            await asyncio.sleep(LOOK_S)


def _rows(columns: Sequence[str], first: int, batch: list[Row]) -> ServerSentEvent:
    rows = [[first + i, *row] for i, row in enumerate(batch)]
    data = StreamedRows(columns=["step", *columns], rows=rows)
    return _event("rows", data, str(first + len(batch) - 1))


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
