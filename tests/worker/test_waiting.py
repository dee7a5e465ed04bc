"""Services that start while the store is away, or while it would lose what it accepts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from optserve.local.embedded import EmbeddedServer
from tests.support.machine.processes import eventually

pytestmark = pytest.mark.long

MODULES = ["worker.main", "api.app"]


@contextmanager
def begun(module: str, url: str, home: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start a service of the store at *url*; give its process and its log."""
    log = home / f"{module}.log"
    variables = {"OPTSERVE_REDIS_URL": url, "OPTSERVE_HOME": str(home), "OPTSERVE_PORT": "0"}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            env={**os.environ, **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process, log
        finally:
            process.kill()
            process.wait()


def lines(log: Path, what: str) -> int:
    return log.read_text().count(what)


@pytest.mark.parametrize("module", MODULES)
def test_a_service_waits_for_a_store_that_is_away(module: str, tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    with begun(module, server.url, tmp_path) as (process, log):
        eventually(lambda: lines(log, "waiting for the store: ") == 1)
        assert process.poll() is None

        with server:
            ready = "listens for cpu jobs" if module == "worker.main" else "Uvicorn running on"
            eventually(lambda: lines(log, ready) == 1)

    assert lines(log, "waiting for the store") == lines(log, "the store is available") == 1
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("module", "number"),
    [*((module, signal.SIGTERM) for module in MODULES), ("worker.main", signal.SIGINT)],
)
def test_a_service_that_waits_leaves_at_once(
    module: str, number: signal.Signals, tmp_path: Path
) -> None:
    with begun(module, f"unix://{tmp_path}/none.sock", tmp_path) as (process, log):
        eventually(lambda: lines(log, "waiting for the store: ") == 1)

        process.send_signal(number)

        assert process.wait(timeout=5) == 0
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.parametrize("module", MODULES)
def test_a_store_that_would_lose_jobs_is_refused_in_one_line(module: str, tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server, redis.from_url(server.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        with begun(module, server.url, tmp_path) as (process, log):
            assert process.wait(timeout=60) == os.EX_CONFIG

    (line,) = log.read_text().splitlines()
    assert "maxmemory-policy must be noeviction, got allkeys-lru" in line


@pytest.mark.parametrize("url", ["", "redis://:s3cret@h:s3cret"])
def test_an_invalid_url_is_refused_in_one_line(url: str, tmp_path: Path) -> None:
    with begun("worker.main", url, tmp_path) as (process, log):
        assert process.wait(timeout=60) == os.EX_CONFIG

    (line,) = log.read_text().splitlines()
    assert line.startswith("REDIS_URL must be redis://HOST:PORT/NUMBER")
    assert "cret" not in line


def test_a_wrong_password_is_not_waited_for(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server, redis.from_url(server.url) as client:
        client.acl_setuser("ann", enabled=True, passwords=["+right"], commands=["+@all"])
        url = server.url.replace("unix://", "unix://ann:wrong@")
        with begun("worker.main", url, tmp_path) as (process, log):
            assert process.wait(timeout=60) == os.EX_CONFIG

    (line,) = log.read_text().splitlines()
    assert line.startswith("the Redis server refuses this service: ")


@pytest.mark.parametrize("module", MODULES)
def test_each_invalid_setting_is_reported_in_one_line(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTSERVE_LEASE_S", "soon")
    monkeypatch.setenv("OPTSERVE_ALLOWED_HOSTS", "localhost")

    with begun(module, f"unix://{tmp_path}/none.sock", tmp_path) as (process, log):
        assert process.wait(timeout=60) == os.EX_CONFIG

    assert log.read_text().splitlines() == [
        "OPTSERVE_ALLOWED_HOSTS must be a list, got 'localhost'",
        "OPTSERVE_LEASE_S must be a number, got 'soon'",
    ]
