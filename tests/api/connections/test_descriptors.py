"""Descriptors: how many connections they allow, and what becomes of a process without any."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from optserve.local.embedded import EmbeddedServer
from tests.support.http.connections.raw import GET, OTHER, connected, held, metric, read_all, told
from tests.support.machine.processes import eventually
from tests.support.machine.usage import Cpu
from tests.support.service.api_process import api_process, without_settings
from tests.support.store.protocol import submit

pytestmark = pytest.mark.long

CLOSE = GET + b"Connection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("descriptors", "settings", "limits"),
    [
        (20_000, "", "8192 6144"),
        (1024, "", "768 576"),
        (300, "", "150 112"),
        (1024, "max_connections=100", "100 75"),
        (1024, "max_connections=5000", "768 576"),
        (1024, "max_connections_per_peer=5", "768 5"),
        (1024, "max_connections=10, max_connections_per_peer=50", "10 10"),
    ],
)
def test_the_limits_are_derived_from_the_descriptors(
    descriptors: int, settings: str, limits: str
) -> None:
    program = (
        "from api.connections.limits import Limits\n"
        "from store.settings import Settings\n"
        f"found = Limits.of(Settings({settings}))\n"
        "print(found.total, found.per_peer)\n"
    )
    command = ["prlimit", f"--nofile={descriptors}", sys.executable, "-c", program]

    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=without_settings()
    )

    assert done.stdout.strip() == limits
    if "5000" in settings:
        assert "OPTSERVE_MAX_CONNECTIONS must be at most 768" in done.stderr
        assert "got 5000" in done.stderr


def test_clients_get_503_before_descriptors_run_out(
    client: redis.Redis, server: EmbeddedServer, tmp_path: Path
) -> None:
    del client  # it has emptied the server
    limits = {"OPTSERVE_MAX_CONNECTIONS_PER_PEER": "150", "OPTSERVE_IDLE_TIMEOUT_S": "60"}
    with api_process(server.url, tmp_path, descriptors=300, **limits) as running:
        eventually(lambda: metric(running, "optserve_connections") == 1)
        with held(running, 150, source=OTHER):
            refused = [told(running, CLOSE, source="127.0.0.5") for _ in range(100)]
        eventually(lambda: told(running, CLOSE).status == 200)
        lost = metric(running, "optserve_out_of_descriptors_total")

    assert {answer.status for answer in refused} == {503}
    assert lost == 0


def leave_no_descriptor(pid: int) -> None:
    """Let a process open nothing more, as if something else in it had opened all it may."""
    used = {int(handle.name) for handle in Path(f"/proc/{pid}/fd").iterdir()}
    free = next(number for number in range(1000) if number not in used)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, 300))


def test_a_process_without_descriptors_logs_it_and_recovers(
    client: redis.Redis, server: EmbeddedServer, tmp_path: Path
) -> None:
    job_id = submit(client)
    stream = f"GET /v1/jobs/{job_id}/metrics/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with (
        api_process(server.url, tmp_path, descriptors=300) as running,
        connected(running) as watching,
    ):
        watching.sendall(stream.encode())
        assert watching.recv(100)
        leave_no_descriptor(running.pid)
        cpu = Cpu(running.pid)
        with connected(running) as other:
            assert read_all(other) == b""
        eventually(lambda: "has no descriptors left" in running.log.read_text())
        assert watching.recv(2**16)  # who was there is served on
        time.sleep(1)  # what is measured is time
        used = cpu.used()
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (300, 300))
        eventually(running.ready)

        assert metric(running, "optserve_out_of_descriptors_total") >= 1
    log = running.log.read_text()
    assert used < 0.5
    assert log.count("has no descriptors left: new connections cannot be accepted") == 1
    assert "Traceback" not in log
