"""
The local stack: Redis server, API and workers as children of one process that supervises them.

A child that dies is restarted. The children end when the supervising process ends, even if that
process is killed.

An orderly stop begins with the workers, which then save and release their jobs. The Redis server is
stopped last.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from optserve.client import Client
from optserve.client.errors import ClientError
from optserve.local import homes
from optserve.local.errors import StackError
from optserve.local.ports import HOST, CannotListen, listening_port, url_at
from optserve.local.processes import Child, python
from optserve.local.settings import settings_of
from optserve.local.store import Store
from store.settings import Settings

START_S = 60.0
"""Seconds until a stack must be ready: importing torch from a slow disk takes long."""
WORKER_STOP_S = 12.0
"""Seconds that a worker has to save its job: 8 for the checkpoint, 4 for everything else."""
API_STOP_S = 6.0
POLL_S = 0.1


class Stack:
    """
    A local stack.

    Attributes:
        home: the folder with the files of the stack.
        url: URL of the API.
        redis_url: URL of the Redis server.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        workers: int,
        stopping: threading.Event,
        lock_fd: int,
        worker_module: str,
        start_s: float = START_S,
    ) -> None:
        self._settings, self._num_workers = settings, workers
        self._stopping, self._lock_fd = stopping, lock_fd
        self._worker_module, self._start_s = worker_module, start_s
        self.home = settings.home.resolve()
        url = None if settings.redis_url is None else _store_url(settings)
        self._store = Store(self.home, url, inherited_fds=[lock_fd])
        self._api: Child | None = None
        self._workers: list[Child] = []
        # Without the password of an external server: children read it from the password file.
        self.url, self.redis_url = "", settings.redis_url or self._store.url

    def start(self) -> None:
        """
        Start all processes; return once jobs are accepted and every worker is registered.

        Raises:
            StackError: a process does not start, or the start is interrupted.
        """
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        host = self._settings.host
        try:
            port = listening_port(host, self._settings.port)
        except CannotListen as error:
            raise StackError(str(error)) from None
        self.url = url_at(host, port)
        try:
            self._store.start(self._stopping)
        except StackError:
            # An interrupted start of the store fails in various ways. The error must report the
            # interruption.
            self._raise_if_stopping()
            raise
        environment = {
            "OPTSERVE_HOME": str(self.home),
            # Not REDIS_URL, which may name another server in the environment: of the two names for
            # this setting the first one wins.
            "OPTSERVE_REDIS_URL": self.redis_url,
            "OPTSERVE_HOST": host,
            "OPTSERVE_PORT": str(port),
            # At least 1, as the setting requires; tests run stacks without workers.
            "OPTSERVE_WORKERS_ON_MACHINE": str(max(1, self._num_workers)),
        }

        self._api = self._child("api", "api.app", environment)
        # If this process is killed, the embedded server dies with it: a worker that got SIGTERM
        # would wait in vain to store its job.
        death_signal = signal.SIGKILL if self._store.embedded else signal.SIGTERM
        for i in range(self._num_workers):
            self._workers.append(
                self._child(f"worker {i}", self._worker_module, environment, death_signal)
            )
        self._wait_until_ready()
        # Last: a client that finds the file may use the service at once.
        (self.home / "url").write_text(self.url)

    def supervise(self) -> None:
        """Restart the processes that have died."""
        self._store.supervise()
        for child in self._children():
            child.supervise()

    def processes(self) -> dict[str, int]:
        """
        Return the process ids by name: ``api``, ``worker 0``, ``worker 1`` and so on.

        An embedded server has the name ``server``.
        """
        server = self._store.embedded
        found = {child.name: child.pid for child in self._children()}
        return found | ({"server": server.pid} if server is not None else {})

    def stop(self) -> None:
        """Stop all processes: first the workers, then the API, last the server."""
        # First, so that no client finds the URL of a service that is stopping.
        (self.home / "url").unlink(missing_ok=True)
        # All workers at once: each may need its full time to save its job, for which it needs the
        # store, which therefore stops last.
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.join(WORKER_STOP_S)
        if self._api is not None:
            self._api.terminate()
            self._api.join(API_STOP_S)
        self._store.stop()

    def _child(
        self,
        name: str,
        module: str,
        environment: Mapping[str, str],
        death_signal: signal.Signals = signal.SIGTERM,
    ) -> Child:
        log_file = self.home / "logs" / f"{name.replace(' ', '-')}.log"
        return Child(
            name,
            python(module),
            environment=environment,
            log_file=log_file,
            inherited_fds=[self._lock_fd],
            death_signal=death_signal,
        )

    def _children(self) -> list[Child]:
        return [child for child in (self._api, *self._workers) if child is not None]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._start_s
        with Client(self.url) as client:
            while time.monotonic() < deadline:
                self._raise_if_stopping()
                for child in self._children():
                    if child.exit_code == os.EX_CONFIG:  # a restart would fail in the same way
                        reason = "".join(child.log_lines()[-1:])
                        raise StackError(f"{child.name} cannot start: {reason}")
                self.supervise()
                if self._is_ready(client):
                    return
                self._stopping.wait(POLL_S)
        raise StackError(self._not_ready())

    def _is_ready(self, client: Client) -> bool:
        """Return whether jobs are accepted and all workers are registered."""
        pids = {worker.pid for worker in self._workers}
        with contextlib.suppress(ClientError):
            # Not ==: a worker that was killed stays registered for a while.
            return client.ready() and pids <= {worker.pid for worker in client.workers()}
        return False

    def _not_ready(self) -> str:
        text = f"the stack is not ready after {self._start_s:.0f} s; see {self.home / 'logs'}"
        for child in self._children():
            if child.deaths:
                text += f"\n{child.name} died {child.deaths} times; the end of its log:\n"
                text += child.log_tail()
        return text

    def _raise_if_stopping(self) -> None:
        if self._stopping.is_set():
            raise StackError("interrupted before the service was ready; all processes were stopped")


@contextlib.contextmanager
def running(
    *,
    home: Path,
    host: str = HOST,
    port: int = 8000,
    workers: int = 1,
    stopping: threading.Event | None = None,
    worker_module: str = "worker.main",
    start_s: float = START_S,
) -> Iterator[Stack]:
    """
    Run a stack as long as the context lasts; only one stack can run in a home at a time.

    Args:
        home: the folder for the files of the stack.
        host: address that the API listens on.
        port: port of the API; 0 for any free port.
        workers: number of workers, which share the machine's cores.
        stopping: event that abandons a start in progress once it is set.
        worker_module: module that each worker runs; tests give a module that misbehaves.
        start_s: seconds until the stack must be ready.

    Raises:
        StackError: the stack cannot be started.
    """
    stopping = stopping or threading.Event()
    settings = settings_of(home=home, host=host, port=port)
    with homes.locked(home, stopping) as lock_fd:
        stack = Stack(
            settings,
            workers=workers,
            stopping=stopping,
            lock_fd=lock_fd,
            worker_module=worker_module,
            start_s=start_s,
        )
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()


def _store_url(settings: Settings) -> str:
    try:
        return settings.store_url
    except OSError as error:
        raise StackError(
            f"OPTSERVE_REDIS_PASSWORD_FILE must be a file with a password, got "
            f"{str(error.filename)!r}: {error.strerror}"
        ) from None


def data_dir(home: Path) -> Path:
    """Return the folder with the datasets of the stack in *home*."""
    return settings_of(home=home).data_dir
