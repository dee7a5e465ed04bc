"""The service for a soak test: a new stack, supervised by a separate process."""

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
"""Seconds within which the service must be ready; it takes a few unless the machine is busy."""
LEAVES_S = 40.0
"""Seconds that the stack gets to stop its parts, one after another."""
LOOK_S = 0.1
API, SERVER = "api.app", "valkey-server"
"""Texts that identify these parts by their command lines."""


class Service:
    """
    ``optserve up`` with a new home; a part that dies is started again.

    Attributes:
        home: the folder that holds all of its files.
        url: the URL of its API, the same after every start.
        kept: whether the home is kept after the service has stopped, for inspection.
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
        """Root folder of its storage."""
        return self.home / "storage"

    @property
    def redis_url(self) -> str:
        """URL of its Redis server."""
        url = embedded.url_of(self.home)
        assert url is not None
        return url

    def wait_until_ready(self) -> None:
        """
        Wait until the service accepts jobs and all workers have started.

        Raises:
            StackError: the service is not ready in time.
        """
        deadline = time.monotonic() + START_S
        with Client(self.url) as client:
            while not (client.ready() and (self.home / "url").exists()):
                if time.monotonic() > deadline:
                    raise StackError(f"the service is not ready: {self._up.log_tail()}")
                self.supervise()
                time.sleep(LOOK_S)

    def supervise(self) -> None:
        """Restart the stack's main process if it has died; it restarts the other parts itself."""
        self._up.supervise()

    def find(self, name: str) -> int | None:
        """Return the process id of a part (up, api or server), or None if it is not running."""
        if name == "up":
            return self._up.pid if self._up.alive() else None
        what = {"api": API, "server": SERVER}[name]
        return next((pid for pid in self.parts() if what in proc.command_line(pid)), None)

    def parts(self) -> list[int]:
        """Return the process ids of all parts: API, workers and Redis server."""
        return proc.children(self._up.pid)

    def workers(self) -> None:
        """Return None: all workers may be struck."""

    def stop(self) -> None:
        """Stop the service, one part after another."""
        self._up.terminate()
        self._up.join(LEAVES_S)


@contextmanager
def own_service(worker_module: str = "worker.main") -> Iterator[Service]:
    """Yield a new service with several workers and a short lease; remove it at the end."""
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
    """Set *variables* for the context, without the user's settings, which may name other jobs."""
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
