"""What one connection tells of a job that is followed: steps, changes of state, its end."""

from __future__ import annotations

from collections.abc import Iterator

from httpx_sse import EventSource, ServerSentEvent, SSEError
from pydantic import ValidationError

from optserve.client.addresses import job_path
from optserve.client.connection import Connection
from optserve.client.errors import NotTheService, Unreachable
from optserve.contract.answers.history import Event
from optserve.contract.answers.metrics import (
    MetricRow,
    RowsTruncated,
    StateChange,
    StreamedRows,
    StreamEnd,
)

Update = list[MetricRow] | RowsTruncated | StateChange | StreamEnd
"""What a followed job tells. After a `RowsTruncated` the steps from there on come anew."""

SILENCE_S = 45.0
"""Seconds of silence after which a stream counts as broken (it is pinged every 10; 30 at most)."""


def updates(connection: Connection, job_id: str, *, last_id: str) -> Iterator[tuple[Update, str]]:
    """
    Yield what happens to a job, up to its end, each time with the id to go on from.

    Args:
        connection: with the service.
        job_id: the job's.
        last_id: of the last event before; empty for none.

    Raises:
        Unreachable: the connection broke, or was closed before the end.
    """
    headers = {"Accept": "text/event-stream"}
    if last_id:
        headers["Last-Event-ID"] = last_id
    path = job_path(job_id, "metrics", "stream")
    with connection.stream(path, headers=headers, silence_s=SILENCE_S) as response:
        try:
            for event in EventSource(response).iter_sse():
                update = _update(event)
                if update:
                    last_id = event.id or last_id
                    yield update, last_id
        except SSEError as error:
            raise NotTheService(f"{connection.url} sent no stream of events: {error}") from None
        except ValidationError as error:
            raise connection.not_understood(f"GET {path}", error) from None
    raise Unreachable(f"{connection.url} ended the stream of {job_id} before the job's end")


def entries(connection: Connection, job_id: str, *, after: int) -> Iterator[Event]:
    """
    Yield the entries of a job's history after the entry *after*, up to the one that ends it.

    Raises:
        Unreachable: the connection broke.
    """
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    path = job_path(job_id, "events", "stream")
    with connection.stream(path, headers=headers, silence_s=SILENCE_S) as response:
        try:
            for event in EventSource(response).iter_sse():
                if event.data:  # no ping
                    yield Event.model_validate_json(event.data)
        except SSEError as error:
            raise NotTheService(f"{connection.url} sent no stream of events: {error}") from None
        except ValidationError as error:
            raise connection.not_understood(f"GET {path}", error) from None


def _update(event: ServerSentEvent) -> Update | None:
    """Return what *event* tells; None for a ping, or for what a newer service may add."""
    match event.event:
        case "rows":
            batch = StreamedRows.model_validate_json(event.data)
            named = [dict(zip(batch.columns, row, strict=False)) for row in batch.rows]
            return [MetricRow.model_validate(row) for row in named]
        case "truncated":
            return RowsTruncated.model_validate_json(event.data)
        case "state":
            return StateChange.model_validate_json(event.data)
        case "end":
            return StreamEnd.model_validate_json(event.data)
        case _:
            return None
