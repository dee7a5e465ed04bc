"""The service that a soak hurts: a stack of its own, in a process of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.chaos import proc
from optserve.client import Client
from optserve.local import embedded
from optserve.local.errors import StackError
from optserve.local.ports import HOST, listening_port, url_at
from optserve.local.processes import Child, python

LEASE_S = 5.0
WORKERS = 4
START_S = 120.0
"""Seconds until the service must be there; it is in a few unless the machine is busy."""
LEAVES_S = 40.0
"""Seconds for the stack to end its parts, one after another."""
LOOK_S = 0.1
API, SERVER = "api.app", "valkey-server"
"""In the command lines of these parts."""


class Service:
    """
    ``optserve up`` on a home of its own; what is hurt of it is started again.

    Attributes:
        home: where it keeps everything.
        url: of its API, the same after every start.
        kept: whether the home stays when it has ended, for who wants to see what happened.
    """

    def __init__(self, home: Path, *, worker_module: str) -> None:
        self.home, self.kept = home, False
        port = listening_port(HOST, 0)
        self.url = url_at(HOST, port)
        options = {"home": home, "port": port, "workers": WORKERS, "worker-module": worker_module}
        flat = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self._up = Child("up", [*python("optserve"), "up", *flat], log_file=home / "up.log")

    @property
    def storage(self) -> Path:
        """Where the files of its jobs lie."""
        return self.home / "storage"

    @property
    def redis_url(self) -> str:
        """URL of its server."""
        url = embedded.url_of(self.home)
        assert url is not None
        return url

    def wait_until_ready(self) -> None:
        """
        Wait until jobs are accepted and all workers are there.

        Raises:
            StackError: they are not in time.
        """
        deadline = time.monotonic() + START_S
        with Client(self.url) as client:
            while not (client.ready() and (self.home / "url").exists()):
                if time.monotonic() > deadline:
                    raise StackError(f"the service is not ready: {self._up.log_tail()}")
                self.supervise()
                time.sleep(LOOK_S)

    def supervise(self) -> None:
        """Start the stack again if it has died; its parts it looks after itself."""
        self._up.supervise()

    def find(self, name: str) -> int | None:
        """Return the process of a part: up, api or server."""
        if name == "up":
            return self._up.pid if self._up.alive() else None
        what = {"api": API, "server": SERVER}[name]
        return next((pid for pid in self.parts() if what in proc.command_line(pid)), None)

    def parts(self) -> list[int]:
        """Return the processes of all parts: API, workers and server."""
        return proc.children(self._up.pid)

    def workers(self) -> None:
        """Return None: all of its workers may be hurt."""

    def stop(self) -> None:
        """End it in order."""
        self._up.terminate()
        self._up.join(LEAVES_S)


@contextmanager
def own_service(worker_module: str = "worker.main") -> Iterator[Service]:
    """Give a service with several workers and a short lease, which is gone in the end."""
    home = Path(tempfile.mkdtemp(prefix="optserve-chaos-"))
    with _environment(OPTSERVE_LEASE_S=f"{LEASE_S:g}"):
        service = Service(home, worker_module=worker_module)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.stop()
        if not service.kept:
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Have these settings for a while, and none of the user's: they may lead to his own jobs."""
    before = {n: v for n, v in os.environ.items() if n.startswith("OPTSERVE_") or n == "REDIS_URL"}
    for name in before:
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(before)
