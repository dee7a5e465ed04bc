"""Rounds in processes of their own, two at once, beside an API process that runs none."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from optserve.contract.states import State
from optserve.local.embedded import EmbeddedServer
from store.redis import keys
from store.storage.storage import Storage
from tests.support.machine.processes import eventually
from tests.support.service.api_process import api_process
from tests.support.store.archiving import fail, files, run
from tests.support.store.protocol import ask, begin, kinds, state_of, submit

LEASE_S = "1.5"
"""For so long after its start a server takes nothing back: of these tests the first is older."""


@contextlib.contextmanager
def control_process(redis_url: str, home: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the rounds in a process of their own; give it once it has begun."""
    variables = {"REDIS_URL": redis_url, "OPTSERVE_HOME": str(home), "OPTSERVE_LEASE_S": LEASE_S}
    log = home / f"{name}.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "control.main"],
            env={**os.environ, **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            eventually(lambda: "running the rounds" in log.read_text(), within_s=60)
            yield process
        finally:
            process.terminate()


def pass_seconds(client: redis.Redis, seconds: float) -> None:
    """Wait until so much time has passed on the server, whose clock decides what is due."""

    def now() -> float:
        at, micro = client.time()
        return float(at) + micro / 1e6

    until = now() + seconds
    eventually(lambda: now() >= until)


@pytest.mark.long
@pytest.mark.timeout(180)
def test_two_control_processes_do_once_what_an_api_without_rounds_leaves(
    client: redis.Redis, server: EmbeddedServer, tmp_path: Path
) -> None:
    storage = Storage(tmp_path / "storage")
    with api_process(server.url, tmp_path, OPTSERVE_CONTROL="separate", OPTSERVE_LEASE_S=LEASE_S):
        ended = run(client, storage, count=10)
        fail(client, ended)
        lost = submit(client)
        begin(client, "t1", lease_ms=1)
        pass_seconds(client, 3)
        alone = (state_of(client, lost), client.zcard(keys.UNARCHIVED))

        with (
            control_process(server.url, tmp_path, "one"),
            control_process(server.url, tmp_path, "two"),
        ):
            eventually(lambda: state_of(client, lost) is State.QUEUED)
            eventually(lambda: client.zcard(keys.UNARCHIVED) == 0)
            ask(client, lost, "pause")  # else it is next
            later = run(client, storage, count=10)
            fail(client, later)
            eventually(lambda: client.zcard(keys.UNARCHIVED) == 0)
            pass_seconds(client, 3)  # both have run all rounds again

    assert alone == (State.RUNNING, 1)
    assert kinds(client, lost) == ["submitted", "started", "requeued", "paused"]
    for held in (ended, later):
        assert len(files(storage, held.job_id, "*.parquet")) == 1
    logs = [(tmp_path / f"{name}.log").read_text() for name in ("one", "two")]
    assert sum(log.count("lost its worker") for log in logs) == 1
    assert not any(word in log for log in logs for word in ("ERROR", "Traceback"))


def test_a_control_process_ends_when_it_is_told_to(
    client: redis.Redis, server: EmbeddedServer, tmp_path: Path
) -> None:
    del client
    with control_process(server.url, tmp_path, "one") as process:
        process.terminate()

        assert process.wait(timeout=10) == 0
