"""
Follow a job until it ends, over as many streams of server-sent events as necessary.

A stream is one connection. It carries the updates of a job, or the entries of the job's history.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from httpx_sse import EventSource, ServerSentEvent, SSEError
from pydantic import ValidationError

from optserve.client.addresses import job_path
from optserve.client.backoff import Backoff
from optserve.client.connection import Connection, Params
from optserve.client.errors import NotTheService, ServiceError, Unreachable
from optserve.contract.answers.base import Page
from optserve.contract.answers.history import Event
from optserve.contract.answers.jobs import Job
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

SILENCE_S = 45.0
"""Seconds without data after which a stream counts as broken. The service sends a ping every 10 s,
or at the interval that its operator sets (OPTSERVE_STREAM_PING_S), at most 30 s."""


class Reconnection:
    """
    Decides whether a stream that ended is opened again.

    Args:
        backoff: the delays between connections, and the deadline. Both start over when a connection
            receives data.
        stable_s: seconds after which a connection counts as successful even if it receives nothing.
    """

    def __init__(self, backoff: Backoff, *, stable_s: float) -> None:
        self._backoff, self._stable_s = backoff, stable_s
        self.total_s = backoff.total_s
        self.opened()

    def opened(self) -> None:
        """Record that a connection is being opened."""
        self._opened_at = time.monotonic()

    def received(self) -> None:
        """Record that the connection has received data; this resets the deadline and the delays."""
        self._backoff.reset()

    def wait(self) -> bool:
        """Sleep until the next connection is due; return False if the deadline has passed."""
        # A stream of a queued job may send nothing for hours, and it ends at its maximum age
        # nevertheless. So silence alone must not use up the deadline.
        if time.monotonic() - self._opened_at > self._stable_s:
            self._backoff.reset()
        return self._backoff.wait()


def follow_job(
    connection: Connection, job_id: str, *, after: int, reconnection: Reconnection
) -> Iterator[Update]:
    """
    Yield the updates of a job after the step *after*, until the job ends.

    Raises:
        Unreachable: the service was unavailable until the deadline of *reconnection*.
    """
    last_id = str(after) if after >= 0 else ""
    reported: StateChange | None = None
    while True:
        reconnection.opened()
        try:
            for update, event_id in _job_updates(connection, job_id, last_id=last_id):
                last_id = event_id
                # Before `received`: a service that breaks each connection after its first event
                # would otherwise be tried again for ever.
                if update == reported:
                    continue  # every connection begins with the state
                if isinstance(update, StateChange):
                    reported = update
                reconnection.received()
                yield update
                if isinstance(update, StreamEnd):
                    return
        except (Unreachable, ServiceError) as error:
            if not error.is_temporary:
                raise
            if not reconnection.wait():
                raise Unreachable(
                    f"{error}\nGave up after {reconnection.total_s:g} s; the job itself continues"
                ) from error


def follow_history(
    connection: Connection, job_id: str, *, after: int, reconnection: Reconnection
) -> Iterator[Event]:
    """
    Yield the entries after entry number *after* in a job's history, until the job ends.

    Raises:
        Unreachable: the service was unavailable until the deadline of *reconnection*.
    """
    while True:
        reconnection.opened()
        try:
            for entry in _history_entries(connection, job_id, after=after):
                after = entry.id
                reconnection.received()
                yield entry
        except (Unreachable, ServiceError) as error:
            if not (error.is_temporary and reconnection.wait()):
                raise
        else:
            if connection.request(Job, "GET", job_path(job_id)).state.final:
                # The stream may have reached its maximum age just before the last entries.
                yield from read_history(connection, job_id, after=after)
                return
            if not reconnection.wait():
                raise Unreachable(
                    f"{connection.url} ended the event stream of job {job_id} before the job ended"
                )


def read_history(connection: Connection, job_id: str, *, after: int) -> Iterator[Event]:
    """Yield the entries after entry number *after* in a job's history, up to the latest."""
    while True:
        params: Params = {"after": after, "limit": 1000}
        page = connection.request(Page[Event], "GET", job_path(job_id, "events"), params=params)
        yield from page.data
        # An empty page has no entry to continue after, even if its `has_more` is true.
        if not (page.has_more and page.data):
            return
        after = page.data[-1].id


def _job_updates(
    connection: Connection, job_id: str, *, last_id: str
) -> Iterator[tuple[Update, str]]:
    """
    Yield the updates of a job until it ends, each with the event id to resume from.

    Args:
        connection: the connection to the service.
        job_id: id of the job.
        last_id: id of the last event received before; empty if there is none.

    Raises:
        Unreachable: the connection broke, or the service closed it before the job ended.
    """
    path = job_path(job_id, "metrics", "stream")
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with _events(connection, path, headers) as events:
        for event in events:
            update = _update(event)
            if update:
                last_id = event.id or last_id
                yield update, last_id
    raise Unreachable(f"{connection.url} ended the stream of job {job_id} before the job ended")


def _history_entries(connection: Connection, job_id: str, *, after: int) -> Iterator[Event]:
    """
    Yield the entries after entry number *after* in a job's history, until the stream ends.

    Raises:
        Unreachable: the connection broke.
    """
    path = job_path(job_id, "events", "stream")
    headers = {"Last-Event-ID": str(after)}
    with _events(connection, path, headers) as events:
        for event in events:
            if event.data:  # an event without data only sets the reconnection delay
                yield Event.model_validate_json(event.data)


@contextmanager
def _events(
    connection: Connection, path: str, headers: Mapping[str, str]
) -> Iterator[Iterator[ServerSentEvent]]:
    """Open a stream; raise `NotTheService` if its events cannot be parsed."""
    headers = {"Accept": "text/event-stream", **headers}
    with connection.stream(path, headers=headers, silence_s=SILENCE_S) as response:
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
