"""Following a job to its end over as many connections as that takes."""

from __future__ import annotations

import time
from collections.abc import Iterator

from optserve.client.addresses import job_path
from optserve.client.backoff import Backoff
from optserve.client.connection import Connection, Params
from optserve.client.errors import ServiceError, Unreachable
from optserve.client.streams import Update, history_entries, job_updates
from optserve.contract.answers.base import Page
from optserve.contract.answers.history import Event
from optserve.contract.answers.jobs import Job
from optserve.contract.answers.metrics import StateChange, StreamEnd


class Reconnection:
    """
    Decides whether a stream that ended is opened again.

    Args:
        backoff: between connections that brought nothing.
        stable_s: seconds after which a connection counts as good even if it brought nothing.
    """

    def __init__(self, backoff: Backoff, *, stable_s: float) -> None:
        self._backoff, self._stable_s = backoff, stable_s
        self.total_s = backoff.total_s
        self.opened()

    def opened(self) -> None:
        """Note that a connection is being opened."""
        self._opened_at = time.monotonic()

    def received(self) -> None:
        """Note that something arrived."""
        self._backoff.reset()

    def wait(self) -> bool:
        """Sleep until the next connection is due; return False if there shall be none."""
        # A queued job may send nothing for hours. Its streams end all the same, at their maximum
        # age, so silence alone must not use up the deadline.
        if time.monotonic() - self._opened_at > self._stable_s:
            self._backoff.reset()
        return self._backoff.wait()


def follow_job(
    connection: Connection, job_id: str, *, after: int, reconnection: Reconnection
) -> Iterator[Update]:
    """
    Yield the updates of a job after the step *after*, to its end.

    Raises:
        Unreachable: the service was unavailable for too long.
    """
    last_id = str(after) if after >= 0 else ""
    reported: StateChange | None = None
    while True:
        reconnection.opened()
        try:
            for update, event_id in job_updates(connection, job_id, last_id=last_id):
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
    Yield the entries of a job's history after the entry *after*, to the one that ends it.

    Raises:
        Unreachable: the service was unavailable for too long.
    """
    while True:
        reconnection.opened()
        try:
            for entry in history_entries(connection, job_id, after=after):
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
                raise Unreachable(f"{connection.url} ends the history of {job_id} before the job")


def read_history(connection: Connection, job_id: str, *, after: int) -> Iterator[Event]:
    """Yield the entries of a job's history after the entry *after* that exist now."""
    while True:
        params: Params = {"after": after, "limit": 1000}
        page = connection.request(Page[Event], "GET", job_path(job_id, "events"), params=params)
        yield from page.data
        # An empty page has no further cursor, whatever it says of more.
        if not (page.has_more and page.data):
            return
        after = page.data[-1].id
