"""
The local stack: server, API and workers as children of one process that watches over them.

A child that dies is started again. When this process ends, for whatever reason, so do they:
workers first, so that running jobs are saved and given back, the server last.
"""

from __future__ import annotations

import contextlib
import fcntl
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import redis
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jobs.errors import StoreUnsafe
from jobs.server import prepare
from jobs.settings import Settings
from optcore.spec.errors import problems
from optserve.addresses import masked
from optserve.client import Client
from optserve.embedded import EmbeddedServer, ServerError
from optserve.errors import BadAddress, ClientError
from optserve.ports import CannotListen, listening_port, url_at
from optserve.processes import Child, python

HOST = "127.0.0.1"
"""Where the API listens unless told otherwise: on this machine only."""
START_S = 60.0
"""Seconds until a stack must be ready: torch may have to be read from a slow disk."""
STORE_S = 10.0
"""Seconds a Redis server that was given may take to answer."""
WORKER_LEAVES_S = 12.0
"""Seconds a worker gets to save its job: 8 for the checkpoint, some for the rest."""
API_LEAVES_S = 6.0
LEFTOVERS_S = 20.0
"""Seconds the processes of a stack that was killed get to end, before another one starts."""
LOOK_S = 0.1


class StackError(Exception):
    """The stack cannot be started; the text says why and what to do."""


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
        self._embedded: EmbeddedServer | None = None
        self._api: Child | None = None
        self._workers: list[Child] = []
        self.url, self.redis_url = "", ""

    def start(self) -> None:
        """
        Start everything and wait until jobs are accepted and a worker listens.

        Raises:
            StackError: something does not start, or it is no longer wanted.
        """
        logs = self.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        host = self._settings.host
        try:
            port = listening_port(host, self._settings.port)
        except CannotListen as error:
            raise StackError(str(error)) from None
        self.url = url_at(host, port)
        self.redis_url = self._server()
        environment = {
            "OPTSERVE_HOME": str(self.home),
            "OPTSERVE_REDIS_URL": self.redis_url,
            "OPTSERVE_HOST": host,
            "OPTSERVE_PORT": str(port),
            "OPTSERVE_WORKERS_ON_MACHINE": str(max(1, self._num_workers)),
        }

        self._api = self._child("api", "api.app", environment)
        # Killed with the embedded server, a worker could only wait for what it cannot save to.
        parting = signal.SIGKILL if self._embedded else signal.SIGTERM
        for i in range(self._num_workers):
            self._workers.append(
                self._child(f"worker {i}", self._worker_module, environment, parting)
            )
        self._wait_until_ready(logs)
        (self.home / "url").write_text(self.url)

    def look_after(self) -> None:
        """Start again what has died."""
        if self._embedded is not None:
            self._embedded.look_after()
        for child in self._children():
            child.look_after()

    def processes(self) -> dict[str, int]:
        """Return the process of each part: api, worker 0, ..., and server if it is ours."""
        found = {child.name: child.pid for child in self._children()}
        return found | ({"server": self._embedded.pid} if self._embedded is not None else {})

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

    def _server(self) -> str:
        """Return the URL of the server that was given, or of an embedded one."""
        url = self._settings.redis_url
        if url is None:
            if self._settings.redis_password_file is not None:
                raise StackError("OPTSERVE_REDIS_PASSWORD_FILE needs REDIS_URL to name its server")
            self._embedded = EmbeddedServer(self.home, holds=[self._hold])
            try:
                self._embedded.start(wanted=lambda: not self._stopping.is_set())
            except ServerError as error:
                self._raise_if_stopping()
                raise StackError(str(error)) from None
            url = self._embedded.url
            _prepare(url)
        else:
            _prepare(self._settings.store_url)
        return url

    def _wait_until_ready(self, logs: Path) -> None:
        deadline = time.monotonic() + START_S
        with Client(self.url) as client:
            while time.monotonic() < deadline:
                self._raise_if_stopping()
                for child in self._children():
                    if not child.alive():
                        raise StackError(f"{child.name} ended at once:\n{child.tail()}")
                with contextlib.suppress(ClientError):
                    if client.ready() and len(client.workers()) >= self._num_workers:
                        return
                self._stopping.wait(LOOK_S)
        raise StackError(f"the stack is not ready after {START_S:.0f} s; see {logs}")

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
    settings = _settings(home=home, host=host, port=port)
    with _home_of_its_own(home, stopping) as hold:
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


def data_dir(home: Path) -> Path:
    """Return where the datasets of the stack on *home* lie."""
    return _settings(home=home).data_dir


def url_of(home: Path) -> str | None:
    """Return the URL of the stack that runs on *home*, or None."""
    try:
        url = (home / "url").read_text()
        with Client(url) as client:
            return url if client.ready() else None
    except (OSError, UnicodeDecodeError, BadAddress):
        return None


@contextlib.contextmanager
def _home_of_its_own(home: Path, stopping: threading.Event) -> Iterator[int]:
    """
    Hold *home* for one stack; give the descriptor that all its processes must hold.

    One lock says that a stack runs. The other one lasts until the last of its processes has
    ended, so that a new server never opens the files that an old one still writes.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        own, shared = (home / "lock").open("w"), (home / "processes.lock").open("w")
    except OSError as error:
        raise StackError(
            f"--home (OPTSERVE_HOME) must be a directory to write to, got {str(home)!r}: "
            f"{error.strerror}"
        ) from None
    with own, shared:
        if not _lock(own.fileno()):
            where = url_of(home) or "a URL of its own"
            raise StackError(f"a stack already runs on {home}, at {where}")
        deadline = time.monotonic() + LEFTOVERS_S
        while not _lock(shared.fileno()):
            if stopping.wait(LOOK_S) or time.monotonic() > deadline:
                raise StackError(f"processes of an earlier stack on {home} have not ended yet")
        yield shared.fileno()


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _settings(*, home: Path, host: str = HOST, port: int = 8000) -> Settings:
    """Return the settings of the environment, with these."""
    try:
        return Settings(home=home, host=host, port=port)
    except ValidationError as error:
        named = [{**e, "loc": (_variable(str(e["loc"][0])),)} for e in error.errors()]
        wrong = problems(cast("list[ErrorDetails]", named), None)
        raise StackError("\n".join(problem.message for problem in wrong)) from None


def _variable(name: str) -> str:
    return name if name.isupper() else f"OPTSERVE_{name.upper()}"


def _prepare(url: str) -> None:
    """Check the server at *url* and give it the functions."""
    try:
        client = redis.from_url(url, socket_timeout=STORE_S, socket_connect_timeout=STORE_S)
    except ValueError:  # its text may hold the password, or a part of it
        raise StackError(
            "REDIS_URL must be redis://HOST:PORT/NUMBER, rediss:// or unix://PATH, "
            f"got {masked(url)!r}"
        ) from None
    try:
        with client:
            prepare(client)
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise StackError(f"the Redis server at {masked(url)} does not answer: {error}") from None
    except redis.RedisError as error:
        raise StackError(f"the Redis server at {masked(url)} refuses: {error}") from None
    except StoreUnsafe as error:
        raise StackError(str(error)) from None
