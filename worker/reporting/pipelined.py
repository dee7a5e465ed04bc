"""Rows sent without waiting for an answer, by a loop that has no time to."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import redis

from store.redis.functions import Call
from worker.reporting.buffer import Batch

log = logging.getLogger(__name__)


class Express:
    """
    A connection of its own, on which one call at a time is under way.

    It is not for trouble: an error of any kind, in what the call says too, closes it, and the rows
    that were under way get no answer. Whoever has time must send them again, and will be told what
    was wrong; that does no harm, as rows that the store has must only be equal.

    Args:
        client: of the store; the connection is one of its pool.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._connection: Any = None  # half of its methods are not typed
        self._under_way: tuple[Batch, Call[str]] | None = None

    @property
    def is_open(self) -> bool:
        """Whether rows can be sent."""
        return self._connection is not None

    @property
    def waits(self) -> bool:
        """Whether there is no answer yet to what was sent."""
        return self._under_way is not None

    def open(self) -> None:
        """Connect, if the store lets us; that takes time."""
        with contextlib.suppress(redis.RedisError):
            self._connection = self._pool.get_connection()

    def send(self, batch: Batch, call: Call[str]) -> bool:
        """
        Send *call*, which stores *batch*; return whether the connection took it.

        There must be no other under way: then all of the system's buffer is free, and taking some
        ten thousand bytes is no more than copying them.
        """
        assert self._under_way is None
        try:
            self._connection.send_command("FCALL", call.function, 0, *call.args, check_health=False)
            self._under_way = batch, call
        except Exception:  # the thread sends these rows again, and raises what is still wrong
            self._close_after_error()
        return self.is_open

    def heard(self, *, within_s: float) -> tuple[Batch, str] | None:
        """Return the rows that were sent and what the store says, once it has said so."""
        if self._under_way is None:
            return None
        batch, call = self._under_way
        try:
            answer = self._connection.read_response(timeout=within_s, disconnect_on_error=False)
            said = call.read(answer)
        except redis.TimeoutError:
            return None
        except Exception:  # of the connection, or what the store says: it is heard again
            self._close_after_error()
            return None
        self._under_way = None
        return batch, said

    def close(self) -> None:
        """Give the connection back; what is under way gets no answer."""
        if self._connection is None:
            return
        if self._under_way is not None:
            self._connection.disconnect()  # the answer is not for whoever has it next
        self._pool.release(self._connection)
        self._connection = self._under_way = None

    def _close_after_error(self) -> None:
        log.debug("rows are sent again", exc_info=True)
        self.close()
