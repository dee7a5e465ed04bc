"""The store of a local stack: an embedded server, or a server that was given."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import redis

from optserve.client.addresses import redact
from optserve.local.embedded import EmbeddedServer
from optserve.local.errors import StackError
from optserve.local.valkey import ServerError
from store.errors import StoreUnsafe
from store.redis.connect import connect
from store.redis.server import prepare

START_S = 60.0
"""Seconds until a store must be ready for jobs that is there, or is started again."""
ANSWER_S = 10.0
"""Seconds a server may take to answer."""
LOOK_S = 0.1


class Store:
    """
    The store of a stack.

    Attributes:
        url: of the server.
        embedded: the server, if it is the stack's own.
    """

    def __init__(self, home: Path, given: str | None, *, holds: Sequence[int]) -> None:
        """
        Prepare, but not start, the store.

        Args:
            home: of the stack.
            given: URL of a server; None for an embedded one.
            holds: descriptors that an embedded server keeps open for as long as it lives.
        """
        self.embedded: EmbeddedServer | None = None
        if given is None:
            self.embedded = EmbeddedServer(home, holds=holds)
            given = self.embedded.url
        self.url = given

    def start(self, stopping: threading.Event) -> None:
        """
        Have a server that keeps what it accepts and knows the functions.

        Args:
            stopping: once set, the start is given up.

        Raises:
            StackError: there is none; the text says why.
        """
        if self.embedded is not None:
            try:
                self.embedded.start(wanted=lambda: not stopping.is_set())
            except ServerError as error:
                raise StackError(str(error)) from None
        deadline = time.monotonic() + START_S
        while not self._prepared(last=time.monotonic() > deadline or stopping.is_set()):
            self.look_after()
            stopping.wait(LOOK_S)

    def look_after(self) -> None:
        """Start an embedded server again if it has died."""
        if self.embedded is not None:
            self.embedded.look_after()

    def stop(self) -> None:
        """End an embedded server."""
        if self.embedded is not None:
            self.embedded.stop()

    def _prepared(self, *, last: bool) -> bool:
        """Return whether the server is ready now; if this is the *last* try, it must be."""
        name = redact(self.url)
        try:
            with _client(self.url) as client:
                prepare(client)
        except StoreUnsafe as error:
            raise StackError(str(error)) from None
        except (redis.ConnectionError, redis.TimeoutError) as error:
            # An embedded server that has just died is started again; another one is not ours.
            passes = self.embedded is not None or isinstance(error, redis.BusyLoadingError)
            if last or not passes:
                raise StackError(f"the Redis server at {name} does not answer: {error}") from None
            return False
        except redis.RedisError as error:
            raise StackError(f"the Redis server at {name} refuses: {error}") from None
        return True


def _client(url: str) -> redis.Redis:
    try:
        return connect(url, timeout_s=ANSWER_S, connect_timeout_s=ANSWER_S)
    except ValueError:  # its text may hold the password, or a part of it
        raise StackError(
            "REDIS_URL must be redis://HOST:PORT/NUMBER, rediss:// or unix://PATH, "
            f"got {redact(url)!r}"
        ) from None
