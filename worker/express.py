"""A call whose answer is fetched later, for a loop that has no time to wait for it."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import redis

from jobs.functions import Call

T = TypeVar("T")


class Express(Generic[T]):
    """
    A connection of its own, on which one call at a time is under way.

    It is not for trouble: after an error of any kind it must be closed, and what was under way
    be sent again by somebody who has time. Connecting takes time too.

    Args:
        client: of the store; the connection is one of its pool.

    Raises:
        RedisError: the store is away.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._connection: Any = self._pool.get_connection()  # half of it is not typed
        self._call: Call[T] | None = None

    def send(self, call: Call[T]) -> None:
        """
        Send *call*, and leave its answer for later: there must be none under way.

        That takes as long as the system takes to copy it, for calls of some 100 kB: an answer
        has come to the one before, so its buffer is empty.
        """
        assert self._call is None
        self._connection.send_command("FCALL", call.function, 0, *call.args)
        self._call = call

    def answered(self, *, within_s: float) -> bool:
        """Return whether there is an answer, or a lost connection, after so long at most."""
        return bool(self._connection.can_read(timeout=within_s))

    def answer(self) -> T:
        """
        Return what the call that is under way says, once it has answered.

        Raises:
            RedisError: no answer will come, or an error has.
        """
        call = self._call
        assert call is not None
        reply = self._connection.read_response()
        self._call = None
        return call.read(reply)

    def close(self) -> None:
        """Give the connection back; what is under way loses its answer."""
        if self._call is not None:
            self._connection.disconnect()
        self._pool.release(self._connection)
