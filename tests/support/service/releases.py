"""Parts of a service of two releases on one store: the present code, and the release before it."""

from __future__ import annotations

import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Literal

import pytest

from optserve.client import Client
from optserve.local.embedded import EmbeddedServer
from optserve.local.ports import listening_port
from optserve.local.processes import Child, python
from tests.support.checkout import ROOT
from tests.support.machine.processes import eventually

Age = Literal["old", "new"]
LEASE_S = 5
READY_S = 120


def checked_out(folder: Path, version: str | None = None) -> Path:
    """
    Put a release into *folder*; skip where there is no git.

    Args:
        folder: for its files.
        version: which one; the newest before the present code if it is not said.
    """
    releases = tomllib.loads((ROOT / "releases.toml").read_text())["release"]
    head = _git("rev-parse", "HEAD")
    earlier = [each for each in releases if each["commit"] != head]
    commit = [each["commit"] for each in earlier if version in (None, each["version"])][-1]
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"git does not have the release {commit}: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def _git(*words: str) -> str:
    said = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return said.stdout.strip()


class Service:
    """
    A store, and processes of either release on it.

    Args:
        home: of all of them.
        old: where the release before lies.
    """

    def __init__(self, home: Path, old: Path) -> None:
        self._home, self._code = home, {"old": old, "new": ROOT}
        self._server = EmbeddedServer(home)
        self._children: dict[str, Child] = {}
        self._clients = ExitStack()
        self.redis_url = self._server.url

    def api(self, age: Age) -> Client:
        """Start an API; return a client of it once it is ready."""
        port = listening_port("127.0.0.1", 0)
        self._start("api", age, "api.app", OPTSERVE_PORT=str(port))
        client = self._clients.enter_context(Client(f"http://127.0.0.1:{port}"))
        eventually(client.ready, within_s=READY_S)
        return client

    def worker(self, age: Age, client: Client) -> None:
        """Start a worker, and wait until it takes jobs."""
        before = len(client.workers())
        self._start("worker", age, "worker.main")
        eventually(
            lambda: sum(bool(worker.fingerprint) for worker in client.workers()) > before,
            within_s=READY_S,
        )

    def pid(self, what: str, age: Age) -> int:
        """Return the process of a part."""
        return self._children[f"{what} {age}"].pid

    def end(self, what: str, age: Age) -> None:
        """Let a part leave."""
        child = self._children.pop(f"{what} {age}")
        child.terminate()
        child.join(15)

    def _start(self, what: str, age: Age, module: str, **more: str) -> None:
        environment = {
            "OPTSERVE_HOME": str(self._home),
            "OPTSERVE_REDIS_URL": self._server.url,
            "OPTSERVE_LEASE_S": str(LEASE_S),
            "OPTSERVE_WORKERS_ON_MACHINE": "2",
            **more,
        }
        name = f"{what} {age}"
        log_file = self._home / "logs" / f"{name.replace(' ', '-')}.log"
        # For the command alone: what starts it is a module of the present code.
        command = ["env", f"PYTHONPATH={self._code[age]}", *python(module)]
        self._children[name] = Child(name, command, environment=environment, log_file=log_file)

    @contextmanager
    def running(self) -> Iterator[Service]:
        """Run the store for as long as the context lasts; end all processes with it."""
        with self._server, self._clients:
            try:
                yield self
            finally:
                for child in self._children.values():
                    child.terminate()
                for child in self._children.values():
                    child.join(15)
