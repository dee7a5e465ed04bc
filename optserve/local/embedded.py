"""The embedded server: a Valkey on a data directory, so that nothing but Python is needed."""

from __future__ import annotations

import logging
import re
import secrets
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import redis

from optserve.local.processes import Child
from optserve.local.valkey import ServerError, binary
from store.redis.connect import connect

URL = "url"
"""File beside its data that says where a server is reached."""
MAX_SOCKET_PATH = 100
"""Bytes that fit into a socket address, on every system."""
START_S = 30.0
"""Seconds until a server must answer; while it says that it reads its file, it may take longer."""
LEAVES_S = 10.0
LOOK_S = 0.01
WARNING = re.compile(r"^\d+:\w .* # ")
"""What begins a line of the server's log that says why it ends."""
UNREADABLE = re.compile(r"append.only|append log|AOF|RDB|loading DB")
"""In such a line: the server cannot read the files in which it keeps everything."""

log = logging.getLogger(__name__)


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
        self._home = home
        self._data = (home / "redis").resolve()
        self.log = (home / "logs" / "redis.log").resolve()
        self._holds = holds
        self._elsewhere: Path | None = None
        socket = self._data / "redis.sock"
        if len(str(socket).encode()) > MAX_SOCKET_PATH:
            self._elsewhere = Path(tempfile.gettempdir()) / f"optserve-{secrets.token_hex(8)}"
            socket = self._elsewhere / "redis.sock"
        self._socket = socket
        self.url = f"unix://{quote(str(socket))}"  # clients split it at ? and #, and unquote it
        self._child: Child | None = None
        self._told = ""

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._child is not None
        return self._child.pid

    def start(self, *, wanted: Callable[[], bool] = lambda: True) -> None:
        """
        Start the server and wait until it answers; start it again if it dies meanwhile.

        Args:
            wanted: asked while waiting; once it says no, the wait is over.

        Raises:
            ServerError: it did not start; the text holds the end of its log, or what to do.
        """
        program = binary()
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
        (self._data / URL).write_text(self.url)
        self._child = Child("server", [program, *flat], log_file=self.log, holds=self._holds)
        self._wait_until_ready(self._child, wanted)

    def look_after(self) -> None:
        """Start the server again if it has died, on the same data and the same socket."""
        if self._child is None:
            return
        unreadable = self._unreadable(self._child)
        if unreadable and unreadable != self._told:
            self._told = unreadable
            log.error("%s", unreadable)
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
        deadline, unreadable = time.monotonic() + START_S, ""
        while time.monotonic() < deadline and wanted() and not unreadable:
            try:
                with connect(self.url) as client:
                    client.ping()
            except redis.BusyLoadingError:  # it has a long file, and comes forward
                deadline = time.monotonic() + START_S
            except (redis.ConnectionError, redis.TimeoutError):
                pass  # it is not there yet, or has died
            else:
                return
            time.sleep(LOOK_S)
            unreadable = self._unreadable(child)
            if not unreadable:
                child.look_after()
        tail = child.tail()
        self.stop()
        raise ServerError(
            unreadable or f"the embedded server did not start; the end of {self.log}:\n{tail}"
        )

    def _unreadable(self, child: Child) -> str:
        """Return what is to be done if the server ended because it cannot read its files."""
        if (child.exit_code or 0) <= 0:
            return ""
        warnings = [line for line in child.said() if WARNING.match(line)]
        if not warnings or not UNREADABLE.search(warnings[-1]):
            return ""
        return (
            f"the embedded server cannot read what it keeps in {self._data}: "
            f"{WARNING.sub('', warnings[-1]).strip()}\n"
            f"See what is wrong with it: optserve doctor --home {shlex.quote(str(self._home))}"
        )


def url_of(home: Path) -> str | None:
    """Return the URL of the server on *home*, which may not run; None if it has had none."""
    try:
        return (home / "redis" / URL).read_text()
    except OSError:
        return None
