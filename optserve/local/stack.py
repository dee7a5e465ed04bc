"""
The local stack: server, API and workers as children of one process that watches over them.

A child that dies is started again. When this process ends, for whatever reason, so do they:
workers first, so that running jobs are saved and given back, the server last.
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
from optserve.local.ports import CannotListen, listening_port, url_at
from optserve.local.processes import Child, python
from optserve.local.settings import HOST, settings_of
from optserve.local.store import Store
from store.settings import Settings

START_S = 60.0
"""Seconds until a stack must be ready: torch may have to be read from a slow disk."""
WORKER_LEAVES_S = 12.0
"""Seconds a worker gets to save its job: 8 for the checkpoint, some for the rest."""
API_LEAVES_S = 6.0
LOOK_S = 0.1


class Stack:
    """
    A running stack.

    Attributes:
        home: where it keeps everything.
        url: of the API.
        redis_url: of the server.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        workers: int,
        stopping: threading.Event,
        hold: int,
        worker_module: str,
    ) -> None:
        self._settings, self._num_workers = settings, workers
        self._stopping, self._hold = stopping, hold
        self._worker_module = worker_module
        self.home = settings.home.resolve()
        given = None if settings.redis_url is None else _store_url(settings)
        self._store = Store(self.home, given, holds=[hold])
        self._api: Child | None = None
        self._workers: list[Child] = []
        # Children read the password of a server that was given from its file.
        self.url, self.redis_url = "", settings.redis_url or self._store.url

    def start(self) -> None:
        """
        Start everything and wait until jobs are accepted and a worker listens.

        Raises:
            StackError: something does not start, or it is no longer wanted.
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
            self._raise_if_stopping()
            raise
        environment = {
            "OPTSERVE_HOME": str(self.home),
            "OPTSERVE_REDIS_URL": self.redis_url,
            "OPTSERVE_HOST": host,
            "OPTSERVE_PORT": str(port),
            "OPTSERVE_WORKERS_ON_MACHINE": str(max(1, self._num_workers)),
        }

        self._api = self._child("api", "api.app", environment)
        # Killed with the embedded server, a worker could only wait for what it cannot save to.
        parting = signal.SIGKILL if self._store.embedded else signal.SIGTERM
        for i in range(self._num_workers):
            self._workers.append(
                self._child(f"worker {i}", self._worker_module, environment, parting)
            )
        self._wait_until_ready()
        (self.home / "url").write_text(self.url)

    def look_after(self) -> None:
        """Start again what has died."""
        self._store.look_after()
        for child in self._children():
            child.look_after()

    def processes(self) -> dict[str, int]:
        """Return the process of each part: api, worker 0, ..., and server if it is ours."""
        server = self._store.embedded
        found = {child.name: child.pid for child in self._children()}
        return found | ({"server": server.pid} if server is not None else {})

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
        self._store.stop()

    def _child(
        self,
        name: str,
        module: str,
        environment: Mapping[str, str],
        parting: signal.Signals = signal.SIGTERM,
    ) -> Child:
        log_file = self.home / "logs" / f"{name.replace(' ', '-')}.log"
        return Child(
            name,
            python(module),
            environment=environment,
            log_file=log_file,
            holds=[self._hold],
            parting=parting,
        )

    def _children(self) -> list[Child]:
        return [child for child in (self._api, *self._workers) if child is not None]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        with Client(self.url) as client:
            while time.monotonic() < deadline:
                self._raise_if_stopping()
                for child in self._children():
                    if child.exit_code == os.EX_CONFIG:
                        raise StackError(f"{child.name}: {''.join(child.said()[-1:])}")
                self.look_after()
                if self._is_ready(client):
                    return
                self._stopping.wait(LOOK_S)
        raise StackError(self._why_not())

    def _is_ready(self, client: Client) -> bool:
        """Return whether jobs are accepted, and all workers that live now have said hello."""
        ours = {worker.pid for worker in self._workers}
        with contextlib.suppress(ClientError):
            # One that was killed is listed for a while.
            return client.ready() and ours <= {worker.pid for worker in client.workers()}
        return False

    def _why_not(self) -> str:
        text = f"the stack is not ready after {START_S:.0f} s; see {self.home / 'logs'}"
        for child in self._children():
            if child.deaths:
                text += f"\n{child.name} died {child.deaths} times; the end of its log:\n"
                text += child.tail()
        return text

    def _raise_if_stopping(self) -> None:
        if self._stopping.is_set():
            raise StackError("interrupted before the service was ready; all of it has ended")


@contextlib.contextmanager
def running(
    *,
    home: Path,
    host: str = HOST,
    port: int = 8000,
    workers: int = 1,
    stopping: threading.Event | None = None,
    worker_module: str = "worker.main",
) -> Iterator[Stack]:
    """
    Run a stack for as long as the context lasts; a home has one at a time.

    Args:
        home: where it keeps everything.
        host: address the API listens on.
        port: of the API; 0 for any free one.
        workers: how many share the machine's cores.
        stopping: once set, a start that is under way is given up.
        worker_module: what a worker runs; tests have workers that misbehave.

    Raises:
        StackError: it cannot be started.
    """
    stopping = stopping or threading.Event()
    settings = settings_of(home=home, host=host, port=port)
    with homes.held(home, stopping) as hold:
        stack = Stack(
            settings,
            workers=workers,
            stopping=stopping,
            hold=hold,
            worker_module=worker_module,
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
    """Return where the datasets of the stack on *home* lie."""
    return settings_of(home=home).data_dir
