"""
The local stack: server, API and workers as children of one process that watches over them.

A child that dies is started again. When this process ends, for whatever reason, so do they:
workers first, so that running jobs are saved and given back, the server last.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import redis

from jobs.errors import StoreUnsafe
from jobs.server import prepare
from jobs.settings import Settings
from jobs.tether import tethered
from optserve.client import Client
from optserve.embedded import EmbeddedServer

log = logging.getLogger(__name__)

START_S = 60.0
"""Seconds until a stack must be ready: torch may have to be read from a slow disk."""
WORKER_LEAVES_S = 12.0
"""Seconds a worker gets to save its job: 8 for the checkpoint, some for the rest."""
API_LEAVES_S = 6.0
LOOK_S = 0.1
RESTART_S = 1.0
"""Seconds before a child that died is started again."""


class StackError(Exception):
    """The stack cannot be started; the text says why and what to do."""


class Child:
    """A process of the stack, started again whenever it dies."""

    def __init__(
        self, name: str, module: str, environment: Mapping[str, str], log_file: Path
    ) -> None:
        self.name = name
        self._command = tethered([sys.executable, "-m", module], signal.SIGTERM)
        self._environment, self._log_file = dict(environment), log_file
        self._died_at: float | None = None
        self._start()

    def look_after(self) -> None:
        """Start the process again if it has died, after a pause."""
        code = self._process.poll()
        if code is None:
            return
        if self._died_at is None:
            self._died_at = time.monotonic()
            log.warning("%s ended with %s; its log is %s", self.name, code, self._log_file)
        elif time.monotonic() - self._died_at > RESTART_S:
            self._start()

    def alive(self) -> bool:
        """Return whether the process runs."""
        return self._process.poll() is None

    def ask_to_leave(self) -> None:
        """Send SIGTERM."""
        if self.alive():
            self._process.terminate()

    def leave(self, timeout_s: float) -> None:
        """Wait for the process to end, and end it if it does not."""
        try:
            self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("%s would not leave and was killed", self.name)
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        self._died_at = None
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, **self._environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for the stack, which ends its children in order
            )


class Stack:
    """
    A running stack.

    Attributes:
        home: where it keeps everything.
        url: of the API.
        redis_url: of the server.
    """

    def __init__(self, settings: Settings, *, workers: int) -> None:
        self._settings, self._num_workers = settings, workers
        self.home = settings.home.resolve()
        self._embedded: EmbeddedServer | None = None
        self._api: Child | None = None
        self._workers: list[Child] = []
        self.url, self.redis_url = "", ""

    def start(self) -> None:
        """
        Start everything and wait until jobs are accepted and a worker listens.

        Raises:
            StackError: something does not start.
        """
        logs = self.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        host, port = self._settings.host, self._free_port()
        self.url = f"http://{host}:{port}"
        self.redis_url = self._server()
        environment = {
            "OPTSERVE_HOME": str(self.home),
            "OPTSERVE_REDIS_URL": self.redis_url,
            "OPTSERVE_HOST": host,
            "OPTSERVE_PORT": str(port),
            "OPTSERVE_WORKERS_ON_MACHINE": str(self._num_workers),
        }
        self._api = Child("api", "api.app", environment, logs / "api.log")
        self._workers = [
            Child(f"worker {i}", "worker.main", environment, logs / f"worker-{i}.log")
            for i in range(self._num_workers)
        ]
        self._wait_until_ready(logs)
        (self.home / "url").write_text(self.url)

    def look_after(self) -> None:
        """Start again what has died."""
        for child in self._children():
            child.look_after()

    def stop(self) -> None:
        """End everything, in order."""
        (self.home / "url").unlink(missing_ok=True)
        for worker in self._workers:
            worker.ask_to_leave()
        for worker in self._workers:
            worker.leave(WORKER_LEAVES_S)
        if self._api is not None:
            self._api.ask_to_leave()
            self._api.leave(API_LEAVES_S)
        if self._embedded is not None:
            self._embedded.stop()

    def _children(self) -> list[Child]:
        return [child for child in (self._api, *self._workers) if child is not None]

    def _server(self) -> str:
        """Return the URL of the server that was given, or of an embedded one."""
        url = self._settings.redis_url
        if url is None:
            self._embedded = EmbeddedServer(self.home)
            try:
                self._embedded.start()
            except RuntimeError as error:
                raise StackError(str(error)) from None
            url = self._embedded.url
        try:
            with redis.from_url(url) as client:
                prepare(client)
        except redis.ConnectionError as error:
            raise StackError(f"the Redis server at {url} does not answer: {error}") from None
        except StoreUnsafe as error:
            raise StackError(str(error)) from None
        return url

    def _free_port(self) -> int:
        host, port = self._settings.host, self._settings.port
        if not port_is_free(port, host):
            raise StackError(
                f"port {port} of {host} is in use (or not allowed). "
                "Choose another one with --port, or 0 for any free one."
            )
        if port:
            return port
        with socket.socket() as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])

    def _wait_until_ready(self, logs: Path) -> None:
        deadline = time.monotonic() + START_S
        with Client(self.url) as client:
            while time.monotonic() < deadline:
                for child in self._children():
                    if not child.alive():
                        raise StackError(f"{child.name} ended at once:\n{_tail(logs, child.name)}")
                if client.ready() and len(client.workers()) >= self._num_workers:
                    return
                time.sleep(LOOK_S)
        raise StackError(f"the stack is not ready after {START_S:.0f} s; see {logs}")


@contextlib.contextmanager
def running(
    *, home: Path, host: str = "127.0.0.1", port: int = 8000, workers: int = 1
) -> Iterator[Stack]:
    """
    Run a stack for as long as the context lasts; a home has one at a time.

    Args:
        home: where it keeps everything.
        host: address the API listens on.
        port: of the API; 0 for any free one.
        workers: how many share the machine's cores.

    Raises:
        StackError: it cannot be started.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = url_of(home) or "a URL of its own"
            raise StackError(f"a stack already runs on {home}, at {where}") from None
        stack = Stack(Settings(home=home, host=host, port=port), workers=workers)
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether *port* can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def data_dir(home: Path) -> Path:
    """Return where the datasets of the stack on *home* lie."""
    return Settings(home=home).data_dir


def url_of(home: Path) -> str | None:
    """Return the URL of the stack that runs on *home*, or None."""
    try:
        url = (home / "url").read_text()
    except OSError:
        return None
    with Client(url) as client:
        return url if client.ready() else None


def _tail(logs: Path, name: str) -> str:
    path = logs / f"{name.replace(' ', '-')}.log"
    return "\n".join(path.read_text().splitlines()[-10:])
