"""Encodes the events of streams; each event is encoded once, for all subscribers."""

from __future__ import annotations

import random
from collections.abc import Sequence

from api.metrics.streams.cursor import Cursor
from optserve.contract.answers.base import WireModel
from optserve.contract.answers.history import Event
from optserve.contract.answers.metrics import RowsTruncated, StateChange, StreamedRows, StreamEnd
from optserve.contract.states import State
from store.jobs.record import Record
from store.jobs.series import Row

PING = b": ping\n\n"
"""A comment, which clients ignore; it shows that the connection is not broken."""
RETRY_MS = (500, 1500)
"""Milliseconds after which a browser reconnects; random, since many may be disconnected at once."""


def retry() -> bytes:
    """Return the field that tells a browser when to reconnect."""
    return b"retry: %d\n\n" % random.randint(*RETRY_MS)


def rows(columns: Sequence[str], batch: Sequence[Row], cursor: Cursor) -> bytes:
    """Return the event with the rows of *batch*, the last of which is at *cursor*."""
    first = cursor.last + 1 - len(batch)
    # Not validated: the values come from the store, and there are thousands per second.
    data = StreamedRows.model_construct(
        columns=["step", *columns], rows=[[first + i, *row] for i, row in enumerate(batch)]
    )
    return _event("rows", data, str(cursor))


def truncated(cursor: Cursor) -> bytes:
    """Return the event that tells clients to discard the rows after *cursor*."""
    return _event("truncated", RowsTruncated(step=cursor.last + 1), str(cursor))


def state(now: State, attempt: int) -> bytes:
    """Return the event that announces the state of the job."""
    return _event("state", StateChange(state=now, attempt=attempt))


def end(record: Record) -> bytes:
    """Return the final event of the stream of a job that has ended."""
    job = record.job()
    data = StreamEnd(
        state=job.state,
        reason=job.reason,
        detail=job.detail,
        outcome=job.outcome,
        rows=job.step,
        digest=job.digest,
    )
    return _event("end", data)


def entry(of_history: Event) -> bytes:
    """Return the event that contains an entry of a job's history."""
    return _event(of_history.kind, of_history, str(of_history.id))


def _event(kind: str, data: WireModel, event_id: str = "") -> bytes:
    name = f"id: {event_id}\n" if event_id else ""
    return f"event: {kind}\ndata: {data.model_dump_json()}\n{name}\n".encode()
