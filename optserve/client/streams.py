"""One connection's server-sent events: the updates of a job, or the entries of its history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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
"""What following a job yields. After a `RowsTruncated` the steps from there on are sent again."""

SILENCE_S = 45.0
"""Seconds of silence after which a stream counts as broken: the service pings every 10 s, or as
often as its operator says, 30 s at most."""


def job_updates(
    connection: Connection, job_id: str, *, last_id: str
) -> Iterator[tuple[Update, str]]:
    """
    Yield the updates of a job to its end, each with the event id to resume from.

    Args:
        connection: to the service.
        job_id: the job's.
        last_id: id of the last event received before; empty for none.

    Raises:
        Unreachable: the connection broke, or was closed before the end.
    """
    path = job_path(job_id, "metrics", "stream")
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with _events(connection, path, headers) as events:
        for event in events:
            update = _update(event)
            if update:
                last_id = event.id or last_id
                yield update, last_id
    raise Unreachable(f"{connection.url} ended the stream of {job_id} before the job's end")


def history_entries(connection: Connection, job_id: str, *, after: int) -> Iterator[Event]:
    """
    Yield the entries of a job's history after the entry *after*, to the one that ends it.

    Raises:
        Unreachable: the connection broke.
    """
    path = job_path(job_id, "events", "stream")
    with _events(connection, path, {"Last-Event-ID": str(after)}) as events:
        for event in events:
            if event.data:  # else it only sets the delay before a reconnection
                yield Event.model_validate_json(event.data)


@contextmanager
def _events(
    connection: Connection, path: str, headers: Mapping[str, str]
) -> Iterator[Iterator[ServerSentEvent]]:
    """Open a stream; what is wrong with its events becomes `NotTheService`."""
    headers = {"Accept": "text/event-stream", **headers}
    with connection.stream(path, headers=headers, silence_s=SILENCE_S) as response:
        try:
            yield EventSource(response).iter_sse()
        except SSEError as error:
            raise NotTheService(f"{connection.url} sent no stream of events: {error}") from None
        except ValidationError as error:
            raise connection.unexpected_answer(f"GET {path}", error) from None


def _update(event: ServerSentEvent) -> Update | None:
    """Return the update in *event*; None for a kind that only newer services send."""
    match event.event:
        case "rows":
            batch = StreamedRows.model_validate_json(event.data)
            # By name, not by position: a newer service may add columns or reorder them.
            named = [dict(zip(batch.columns, row, strict=False)) for row in batch.rows]
            return [MetricRow.model_validate(row) for row in named]
        case "truncated" | "cut":  # the second of release 0.2.0
            return RowsTruncated.model_validate_json(event.data)
        case "state":
            return StateChange.model_validate_json(event.data)
        case "end":
            return StreamEnd.model_validate_json(event.data)
        case _:
            return None
