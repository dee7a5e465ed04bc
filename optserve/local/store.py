"""The store of a local stack: an embedded server, or an external one."""

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
"""Seconds within which a server that loads its data, or was restarted, must be ready."""
ANSWER_S = 10.0
"""Seconds to wait for a response from the server."""
POLL_S = 0.1


class Store:
    """
    The store of a local stack.

    Attributes:
        url: URL of the server.
        embedded: the embedded server; None if the server is external.
    """

    def __init__(self, home: Path, url: str | None, *, inherited_fds: Sequence[int]) -> None:
        """
        Prepare the store without starting it.

        Args:
            home: the home of the stack: the folder with its files.
            url: URL of an external server; None for an embedded server.
            inherited_fds: file descriptors that an embedded server keeps open as long as it runs.
        """
        self.embedded: EmbeddedServer | None = None
        if url is None:
            self.embedded = EmbeddedServer(home, inherited_fds=inherited_fds)
            url = self.embedded.url
        self.url = url

    def start(self, stopping: threading.Event) -> None:
        """
        Start the server if it is embedded; then check its settings and load the Lua functions.

        Args:
            stopping: event that abandons the start once it is set.

        Raises:
            StackError: the server cannot be used; the message says why.
        """
        if self.embedded is not None:
            try:
                self.embedded.start(abandoned=stopping.is_set)
            except ServerError as error:
                raise StackError(str(error)) from None
        deadline = time.monotonic() + START_S
        while not self._prepared(last=time.monotonic() > deadline or stopping.is_set()):
            self.supervise()
            stopping.wait(POLL_S)

    def supervise(self) -> None:
        """Restart the server if it is embedded and has died."""
        if self.embedded is not None:
            self.embedded.supervise()

    def stop(self) -> None:
        """Stop the server if it is embedded."""
        if self.embedded is not None:
            self.embedded.stop()

    def _prepared(self, *, last: bool) -> bool:
        """
        Check the server's settings and load the functions; return whether the server is ready.

        If *last* is true, raise StackError instead of returning False.
        """
        name = redact(self.url)
        try:
            with _client(self.url) as client:
                prepare(client)
        except StoreUnsafe as error:
            raise StackError(str(error)) from None
        except (redis.ConnectionError, redis.TimeoutError) as error:
            # `supervise` restarts an embedded server; nobody may be there to restart an external
            # one. BusyLoadingError is a ConnectionError in redis-py: the server runs, and is
            # loading its data.
            is_temporary = self.embedded is not None or isinstance(error, redis.BusyLoadingError)
            if last or not is_temporary:
                raise StackError(f"the Redis server at {name} does not answer: {error}") from None
            return False
        except redis.RedisError as error:
            raise StackError(f"the Redis server at {name} cannot be used: {error}") from None
        return True


def _client(url: str) -> redis.Redis:
    try:
        return connect(url, timeout_s=ANSWER_S, connect_timeout_s=ANSWER_S)
    except ValueError:  # its message may hold the password
        raise StackError(
            "REDIS_URL must be redis://HOST:PORT/NUMBER, rediss:// or unix://PATH, "
            f"got {redact(url)!r}"
        ) from None
