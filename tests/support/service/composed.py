"""A compose project as its tests see it: commands of compose and of the engine."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.machine.processes import eventually

ROOT = Path(__file__).parents[3]
HEALTHY_S = 120.0
PREFIX = "optserve-test"
"""Of the images that scripts/compose-test builds; their tag is `now`."""
ASK = "import os, redis, sys; from store.settings import Settings; "
"""Beginning of what is run in a container to ask the store, whose password is there."""


class Composed:
    """
    A project of compose: its containers, volumes and networks.

    Attributes:
        project: its name.
        variables: what the compose files are filled in with.
    """

    def __init__(
        self, command: Sequence[str], project: str, files: Sequence[Path], **variables: str
    ) -> None:
        flags = [part for file in files for part in ("-f", str(file))]
        self._command = [*command, "-p", project, *flags]
        self.project = project
        self.variables = {"IMAGE_PREFIX": PREFIX, "TAG": "now", "API_PORT": "0", **variables}

    def run(
        self, *arguments: str, check: bool = True, given: bytes = b"", timeout_s: float = 900
    ) -> str:
        """Run a command of compose with *given* as its input; return what it prints, errors too."""
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env={**os.environ, **self.variables},
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
        printed = done.stdout.decode(errors="replace")
        assert done.returncode == 0 or not check, f"{arguments}: {printed[-4000:]}"
        return printed

    def containers(self, service: str | None = None) -> list[str]:
        """Return the ids of the containers of a service, or of all."""
        labels = {"project": self.project} | ({"service": service} if service else {})
        filters = [f"--filter=label=com.docker.compose.{k}={v}" for k, v in labels.items()]
        return docker("ps", "-aq", "--no-trunc", *filters).split()

    def container(self, service: str) -> str:
        """Return the id of the one container of a service."""
        (found,) = self.containers(service)
        return found

    def not_ready(self) -> list[str]:
        """Return the containers that are neither well nor rightly over."""
        return [
            f"{state['Name']} {state['State']['Status']} {health(state)}"
            for state in inspected(*self.containers())
            if not is_ready(state)
        ]

    def wait_until_ready(self) -> None:
        """Wait until every container is well, and the API answers."""
        try:
            eventually(lambda: self.not_ready() == [], within_s=HEALTHY_S)
            eventually(self.answers, within_s=HEALTHY_S)
        except AssertionError:
            logs = self.run("logs", "--no-color", "--tail", "5")
            raise AssertionError(f"not ready: {self.not_ready()}\n{logs}") from None

    def answers(self) -> bool:
        """Return whether the service can accept jobs."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).is_success
        except (httpx.HTTPError, AssertionError):
            return False

    @property
    def url(self) -> str:
        """That of the API on this machine; a container that is made anew has another port."""
        printed = self.run("port", "api", "8000").splitlines()[-1]
        return f"http://127.0.0.1:{printed.rpartition(':')[2]}"

    def exec(self, service: str, *command: str) -> str:
        """Run a command in the container of a service."""
        return self.run("exec", "-T", service, *command)

    def ask_store(self, *command: str) -> Any:
        """Return the store's answer to a command, as the service sees it."""
        code = (
            ASK + "import json; c = redis.from_url(Settings().store_url, decode_responses=True); "
            "print(json.dumps(c.execute_command(*sys.argv[1:]), default=list))"
        )
        return json.loads(self.exec("api", "python", "-c", code, *command).splitlines()[-1])

    def files(self, folder: str) -> list[str]:
        """Return the paths of all files below *folder* of the storage, which may be deleted now."""
        code = (
            "import os, sys; "
            "[print(os.path.relpath(os.path.join(folder, name), '/storage')) "
            "for folder, _, names in os.walk('/storage/' + sys.argv[1]) for name in names]"
        )
        return sorted(self.exec("api", "python", "-c", code, folder).split())

    def logs(self, service: str) -> str:
        """Return what the containers of a service have written."""
        return self.run("logs", "--no-color", service)

    def down(self) -> None:
        """Remove the containers, the volumes and the networks."""
        self.run("down", "-v", "--remove-orphans", "-t", "10", check=False)


def docker(*arguments: str) -> str:
    """Run a command of the engine's client; return what it prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def inspected(*containers: str) -> list[dict[str, Any]]:
    """Return what the engine tells of containers."""
    found: list[dict[str, Any]] = json.loads(docker("inspect", *containers)) if containers else []
    return found


def health(state: Mapping[str, Any]) -> str:
    """Return how well a container is: healthy, unhealthy, starting, or none where nobody looks."""
    return str(state["State"].get("Health", {}).get("Status", "none"))


def is_ready(state: Mapping[str, Any]) -> bool:
    """Return whether a container is well, or over as it should be."""
    status, code = state["State"]["Status"], state["State"]["ExitCode"]
    if status == "running":
        return health(state) in ("healthy", "none")
    return bool(status == "exited" and code == 0)


def crash(container: str) -> None:
    """End a container as a crash would, and wait until its restart policy has brought it back."""
    # `docker kill` is no crash: it counts as stopped by hand, and no restart policy acts.
    (before,) = inspected(container)
    pid = before["State"]["Pid"]
    if os.getuid() != 0 or not belongs_to(pid, container):
        pytest.skip("only root on the engine's own machine can let a container crash")
    os.kill(pid, signal.SIGKILL)

    def restarted() -> bool:
        (now,) = inspected(container)
        return bool(now["RestartCount"] > before["RestartCount"] and now["State"]["Running"])

    eventually(restarted, within_s=60)


def belongs_to(pid: int, container: str) -> bool:
    """Return whether a process of this machine is a container's: the engine's may be another."""
    try:
        return container in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


@contextlib.contextmanager
def composed(project: str, *files: Path, **variables: str) -> Iterator[Composed]:
    """Have a project of the stack's file and of *files*; what it started is removed afterwards."""
    command = shlex.split(os.environ["COMPOSE_TEST_COMMAND"])
    found = Composed(command, project, [ROOT / "docker-compose.yml", *files], **variables)
    found.down()
    try:
        yield found
    finally:
        found.down()
