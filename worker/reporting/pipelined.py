"""Rows written without waiting for the answer."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import redis

from store.redis.functions import Call
from worker.reporting.buffer import Batch

log = logging.getLogger(__name__)


class PipelinedWriter:
    """
    A connection of its own with at most one call in flight.

    It handles no errors: any, also one that the answer reports, closes the connection, and the
    rows in flight stay unanswered. `Reporter` sends them again on another connection and raises
    what is still wrong. Sending rows twice does no harm: the store accepts rows that it has if they
    are equal.

    Args:
        client: of the store; the connection comes from its pool.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._connection: Any = None  # half of its methods are not typed
        self._in_flight: tuple[Batch, Call[str]] | None = None

    @property
    def is_open(self) -> bool:
        """Whether rows can be sent."""
        return self._connection is not None

    @property
    def awaits_answer(self) -> bool:
        """Whether a call is in flight."""
        return self._in_flight is not None

    def open(self) -> None:
        """Connect, if the store can be reached; this may take time."""
        with contextlib.suppress(redis.RedisError):
            # Not returned to the pool until `close`, as no other call may come between rows and
            # answer.
            self._connection = self._pool.get_connection()

    def send(self, batch: Batch, call: Call[str]) -> bool:
        """
        Send *call*, which stores *batch*; return whether the connection took it.

        No other call may be in flight: then the socket's send buffer is empty, and handing it some
        ten thousand bytes is a copy that does not block.
        """
        assert self._in_flight is None
        try:
            # A health check would send a PING and wait for the answer.
            self._connection.send_command("FCALL", call.function, 0, *call.args, check_health=False)
            self._in_flight = batch, call
        except Exception:  # the thread sends these rows again, and raises what is still wrong
            self._close_after_error()
        return self.is_open

    def receive(self, *, within_s: float) -> tuple[Batch, str] | None:
        """Return the batch in flight and the store's answer, or None if there is no answer yet."""
        if self._in_flight is None:
            return None
        batch, call = self._in_flight
        try:
            # Read at once, without asking whether there is something to read: that took two system
            # calls more, 60 us in a loop of short steps. "Nothing yet" must not end the connection.
            reply = self._connection.read_response(timeout=within_s, disconnect_on_error=False)
            answer = call.read(reply)
        except redis.TimeoutError:
            return None
        except Exception:  # of the connection, or of the store: it is raised when sent again
            self._close_after_error()
            return None
        self._in_flight = None
        return batch, answer

    def close(self) -> None:
        """Give the connection back; a call in flight stays unanswered."""
        if self._connection is None:
            return
        if self._in_flight is not None:
            # Its answer must not be read by the next user of this connection.
            self._connection.disconnect()
        self._pool.release(self._connection)
        self._connection = self._in_flight = None

    def _close_after_error(self) -> None:
        log.debug("rows are sent again", exc_info=True)
        self.close()
