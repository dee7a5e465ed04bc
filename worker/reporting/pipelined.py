"""Writes rows (the metrics of each step) to Redis without waiting for the reply."""

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
    Sends rows on a separate connection to Redis, with at most one call in flight.

    Any error, even one in a reply, closes the connection. It is then unknown whether the rows in
    flight were stored. `Reporter` sends these rows again on another connection, and raises the
    error if it persists. Sending rows twice does no harm: Redis accepts rows that are stored
    already if they are equal.

    Args:
        client: the Redis client; the connection comes from its pool.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._connection: Any = None  # half of its methods are not typed
        self._in_flight: tuple[Batch, Call[str]] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return self._connection is not None

    @property
    def awaits_answer(self) -> bool:
        """Whether a call is in flight."""
        return self._in_flight is not None

    def open(self) -> None:
        """Connect to Redis, if it can be reached; this may take a while."""
        with contextlib.suppress(redis.RedisError):
            # Not returned to the pool until `close`, since no other call may come between the rows
            # and the reply.
            self._connection = self._pool.get_connection()

    def send(self, batch: Batch, call: Call[str]) -> bool:
        """
        Send *call*, which stores *batch*; return whether it was sent.

        No other call may be in flight. So the socket's send buffer is empty, and takes tens of
        thousands of bytes without blocking.
        """
        assert self._in_flight is None
        try:
            # A health check would send a PING and wait for the reply.
            self._connection.send_command("FCALL", call.function, 0, *call.args, check_health=False)
            self._in_flight = batch, call
        except Exception:  # the thread sends these rows again, and raises what is still wrong
            self._close_after_error()
        return self.is_open

    def receive(self, *, within_s: float) -> tuple[Batch, str] | None:
        """
        Wait up to *within_s* seconds for the reply to the call in flight.

        Return the batch that was sent and the call's result, or None if there is no reply.
        """
        if self._in_flight is None:
            return None
        batch, call = self._in_flight
        try:
            # Read at once, without first checking for data: the check took two more system calls,
            # 60 us in a loop of short steps. A timeout must not close the connection.
            reply = self._connection.read_response(timeout=within_s, disconnect_on_error=False)
            answer = call.read(reply)
        except redis.TimeoutError:
            return None
        except Exception:  # if it persists, it is raised when the thread sends the rows again
            self._close_after_error()
            return None
        self._in_flight = None
        return batch, answer

    def close(self) -> None:
        """Return the connection to the pool; the reply to a call in flight is discarded."""
        if self._connection is None:
            return
        if self._in_flight is not None:
            # The next user of this connection must not read the reply.
            self._connection.disconnect()
        self._pool.release(self._connection)
        self._connection = self._in_flight = None

    def _close_after_error(self) -> None:
        log.debug("the connection failed; the rows sent on it are sent again", exc_info=True)
        self.close()
