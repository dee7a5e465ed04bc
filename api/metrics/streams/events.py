"""The events of a stream, as they are sent: each is encoded once, for all who watch."""

from __future__ import annotations

import random
from collections.abc import Sequence

from api.metrics.streams.cursor import Place
from optserve.contract.states import State
from optserve.contract.wire import Event, RowsCut, StateChange, StreamedRows, StreamEnd, Wire
from store.jobs.record import Record
from store.jobs.series import Row

PING = b": ping\n\n"
"""A comment, which readers ignore: the connection lives, and its silence is no break."""
RETRY_MS = (500, 1500)
"""Milliseconds after which a browser connects again; spread, as many may lose it at once."""


def retry() -> bytes:
    """Return what tells a browser when to connect again."""
    return b"retry: %d\n\n" % random.randint(*RETRY_MS)


def rows(columns: Sequence[str], batch: Sequence[Row], place: Place) -> bytes:
    """Return the event that tells of *batch*, whose last row is at *place*."""
    first = place.last + 1 - len(batch)
    data = StreamedRows.model_construct(
        columns=["step", *columns], rows=[[first + i, *row] for i, row in enumerate(batch)]
    )
    return _event("rows", data, str(place))


def cut(place: Place) -> bytes:
    """Return the event that tells to forget the rows after *place*."""
    return _event("cut", RowsCut(step=place.last + 1), str(place))


def state(now: State, attempt: int) -> bytes:
    """Return the event that tells where the job stands."""
    return _event("state", StateChange(state=now, attempt=attempt))


def end(record: Record) -> bytes:
    """Return the last event of the stream of a job that has ended."""
    job = record.job()
    data = StreamEnd(
        state=job.state,
        reason=job.reason,
        detail=job.detail,
        ended=job.ended,
        rows=job.step,
        digest=job.digest,
    )
    return _event("end", data)


def entry(of_history: Event) -> bytes:
    """Return the event that tells of an entry of a history."""
    return _event(of_history.kind, of_history, str(of_history.id))


def _event(kind: str, data: Wire, event_id: str = "") -> bytes:
    name = f"id: {event_id}\n" if event_id else ""
    return f"event: {kind}\ndata: {data.model_dump_json()}\n{name}\n".encode()
