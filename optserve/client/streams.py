"""Server-sent events on one connection: the updates of a job, or the entries of its history."""

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
"""One update of a job that is followed. After a `RowsTruncated`, steps are sent again from its
`step` on."""


def job_updates(
    connection: Connection, job_id: str, *, last_id: str, silence_s: float
) -> Iterator[tuple[Update, str]]:
    """
    Yield the updates of a job until it ends, each with the event id to resume from.

    Args:
        connection: the connection to the service.
        job_id: id of the job.
        last_id: id of the last event received before; empty if there is none.
        silence_s: seconds without data after which the connection counts as broken.

    Raises:
        Unreachable: the connection broke, or the service closed it before the job ended.
    """
    path = job_path(job_id, "metrics", "stream")
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with _events(connection, path, headers, silence_s) as events:
        for event in events:
            update = _update(event)
            if update:
                last_id = event.id or last_id
                yield update, last_id
    raise Unreachable(f"{connection.url} ended the stream of job {job_id} before the job ended")


def history_entries(
    connection: Connection, job_id: str, *, after: int, silence_s: float
) -> Iterator[Event]:
    """
    Yield the entries after entry number *after* in a job's history, until the stream ends.

    After *silence_s* seconds without data the connection counts as broken.

    Raises:
        Unreachable: the connection broke.
    """
    path = job_path(job_id, "events", "stream")
    headers = {"Last-Event-ID": str(after)}
    with _events(connection, path, headers, silence_s) as events:
        for event in events:
            if event.data:  # an event without data only sets the reconnection delay
                yield Event.model_validate_json(event.data)


@contextmanager
def _events(
    connection: Connection, path: str, headers: Mapping[str, str], silence_s: float
) -> Iterator[Iterator[ServerSentEvent]]:
    """Open a stream; raise `NotTheService` if its events cannot be parsed."""
    headers = {"Accept": "text/event-stream", **headers}
    with connection.stream(path, headers=headers, silence_s=silence_s) as response:
        try:
            yield EventSource(response).iter_sse()
        except SSEError as error:
            raise NotTheService(f"{connection.url} sent no valid event stream: {error}") from None
        except ValidationError as error:
            raise connection.unexpected_answer(f"GET {path}", error) from None


def _update(event: ServerSentEvent) -> Update | None:
    """Return the update in *event*; None if its type is unknown, because the service is newer."""
    match event.event:
        case "rows":
            batch = StreamedRows.model_validate_json(event.data)
            # By name, not by position: a newer service may add columns or reorder them.
            named = [dict(zip(batch.columns, row, strict=False)) for row in batch.rows]
            return [MetricRow.model_validate(row) for row in named]
        case "truncated" | "cut":  # release 0.2.0 sends the second name
            return RowsTruncated.model_validate_json(event.data)
        case "state":
            return StateChange.model_validate_json(event.data)
        case "end":
            return StreamEnd.model_validate_json(event.data)
        case _:
            return None
