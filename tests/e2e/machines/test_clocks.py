"""API and workers whose clocks are wrong, or jump: nothing ends, or is lost, before its time."""

import datetime
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from optserve.client import Client
from optserve.contract.states import State
from optserve.local.embedded import EmbeddedServer
from optserve.local.stack import Stack
from tests.support.machine.processes import eventually
from tests.support.service.jobs import SHORT, begun, finished
from tests.support.service.stacks import stack_with

LEASE_S = 4.0
SPEC: dict[str, Any] = {
    **SHORT,
    "training": {"steps": 15_000, "seed": 5, "evaluate_every": None, "checkpoint_every": 3000},
    "time_limit_s": 300,
}
"""Several leases long."""
CLOCKS = [
    pytest.param("jumps", marks=pytest.mark.slow),
    pytest.param("-3600", marks=pytest.mark.slow),
    pytest.param("+3600", marks=pytest.mark.slow),
]
JUMPS = ["-3600", "+3600", "-90", "+0", "+90", "-31536000"]


@pytest.fixture(params=CLOCKS)
def wrong(
    request: pytest.FixtureRequest, tmp_path: Path, server: EmbeddedServer
) -> Iterator[Stack]:
    """A stack with two workers, all of whose clocks are wrong but the server's."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("needs libfaketime (Debian: faketime)")
    clock = tmp_path / "clock"
    clock.write_text("+0" if request.param == "jumps" else request.param)
    done = threading.Event()
    with stack_with(
        tmp_path / "home",
        workers=2,
        REDIS_URL=server.url,
        OPTSERVE_LEASE_S=f"{LEASE_S}",
        OPTSERVE_KEEP_DAYS="1",
        LD_PRELOAD=str(library),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    ) as running:
        jumping = threading.Thread(target=jump, args=(clock, done), daemon=True)
        if request.param == "jumps":
            jumping.start()
        yield running
        done.set()


def jump(clock: Path, done: threading.Event) -> None:
    draw = random.Random(3)
    while not done.wait(draw.uniform(0.1, 0.8)):
        draft = clock.with_suffix(".draft")
        draft.write_text(draw.choice(JUMPS))
        draft.replace(clock)


def test_only_the_servers_clock_decides(wrong: Stack, client: Any) -> None:
    del client  # the server is empty
    began = datetime.datetime.now(datetime.UTC)
    with Client(wrong.url) as service:
        jobs = [service.submit({**SPEC, "labels": {"n": str(i)}}).id for i in range(2)]
        ended = [finished(service, job_id) for job_id in jobs]
        over = datetime.datetime.now(datetime.UTC)

        assert {(job.state, job.attempt) for job in ended} == {(State.SUCCEEDED, 1)}
        assert len({job.digest for job in ended}) == 1
        for job_id in jobs:
            at = [event.at for event in service.events(job_id)]
            assert at == sorted(at)
            second = datetime.timedelta(seconds=1)
            assert began - second <= at[0] <= at[-1] <= over + second

        # And what is due happens: a worker that dies loses its job within the lease.
        job_id = service.submit(SPEC).id
        job = begun(service, job_id, steps=10)
        (worker,) = [worker.pid for worker in service.workers() if worker.id == job.worker]
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: service.job(job_id).attempt == 2, within_s=60)
        assert finished(service, job_id).digest == ended[0].digest
