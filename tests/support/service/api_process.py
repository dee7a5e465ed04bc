"""An API process on a server that is there already, with settings and limits of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from optserve.local.ports import listening_port
from tests.support.machine.processes import eventually

HOST = "127.0.0.1"


@dataclass
class ApiProcess:
    """
    A running API process.

    Attributes:
        url: of it.
        pid: of it.
        log: what it has written.
    """

    url: str
    pid: int
    log: Path

    def ready(self) -> bool:
        """Return whether it answers."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz").status_code == 200
        return False


def without_settings() -> dict[str, str]:
    """Return this process's environment without settings, which a stack that runs may have set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OPTSERVE_")}


@contextlib.contextmanager
def api_process(
    redis_url: str,
    home: Path,
    *,
    descriptors: int | None = None,
    host: str = HOST,
    **variables: str,
) -> Iterator[ApiProcess]:
    """
    Run an API process.

    Args:
        redis_url: of its store.
        home: where it keeps everything.
        descriptors: files and connections that it may have open.
        host: where it listens.
        variables: of its environment.
    """
    port = listening_port(host, 0)
    limit = ["prlimit", f"--nofile={descriptors}:{descriptors}"] if descriptors else []
    environment = {
        "REDIS_URL": redis_url,
        "OPTSERVE_HOME": str(home),
        "OPTSERVE_HOST": host,
        "OPTSERVE_PORT": str(port),
        **variables,
    }
    log = home / "api.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*limit, sys.executable, "-m", "api.app"],
            env={**without_settings(), **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        started = ApiProcess(f"http://{HOST}:{port}", process.pid, log)
        try:
            eventually(started.ready, within_s=60)
            yield started
        finally:
            process.terminate()
