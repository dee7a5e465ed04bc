"""A store that goes away while a job trains, and one that comes back without its last rows."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from optserve.client import Client
from optserve.contract.answers.jobs import Job
from optserve.contract.states import State
from optserve.local.stack import Stack
from tests.support.machine.processes import alive, descendants, eventually, kill
from tests.support.service.jobs import SHORT, begun, finished
from tests.support.service.stacks import stack_with

pytestmark = pytest.mark.long

LEASE_S = 3.0
STEPS = 8000
SPEC: dict[str, Any] = {
    **SHORT,
    "training": {"steps": STEPS, "seed": 5, "checkpoint_every": 1000, "evaluate_every": None},
}


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with one worker and a short lease."""
    home = tmp_path_factory.mktemp("single")
    with stack_with(home, workers=1, OPTSERVE_LEASE_S=f"{LEASE_S}") as started:
        yield started


@pytest.fixture(scope="module")
def alone(single: Stack) -> Job:
    """The job that nobody disturbs."""
    with Client(single.url) as client:
        return finished(client, client.submit(SPEC).id)


def killed(single: Stack) -> None:
    server = single.processes()["server"]
    kill(server)
    eventually(lambda: not alive(server))


def back(single: Stack, client: Client) -> None:
    def ready() -> bool:
        single.supervise()
        return client.ready()

    eventually(ready, within_s=60)


@pytest.mark.parametrize(
    "away_s",
    [
        pytest.param(1, marks=pytest.mark.slow),
        pytest.param(5, marks=pytest.mark.slow),
        12,
        pytest.param(60, marks=pytest.mark.slow),
        pytest.param(300, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_training_goes_on_while_the_store_is_away(single: Stack, alone: Job, away_s: float) -> None:
    with Client(single.url) as client:
        job_id = client.submit(SPEC).id
        first, began = begun(client, job_id, steps=500).step, time.monotonic()
        before = begun(client, job_id, steps=first + 500).step
        per_s = (before - first) / (time.monotonic() - began)

        killed(single)
        time.sleep(away_s)
        back(single, client)
        # The second write after the pause brings all that was computed meanwhile.
        eventually(lambda: client.job(job_id).step > before + 200)
        time.sleep(0.3)
        after = client.job(job_id).step

        ended = finished(client, job_id)
        steps = [row.step for row in client.metrics(job_id)]
    assert after - before >= min(STEPS - before, 0.4 * per_s * away_s)
    assert (ended.state, ended.attempt, ended.digest) == (State.SUCCEEDED, 1, alone.digest)
    assert steps == list(range(STEPS))


def test_a_worker_without_a_job_waits_for_the_store(single: Stack) -> None:
    """And keeps its trainer, which takes seconds to start."""
    with Client(single.url) as client:
        finished(client, client.submit(SHORT).id)
        before = family(single.processes()["worker 0"])

        killed(single)
        time.sleep(6)  # it finds out when it listens again, and after that it asks every second
        after = family(single.processes()["worker 0"])
        back(single, client)

        ended = finished(client, client.submit(SHORT).id)
    assert before == after
    assert len(before) >= 2
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1)


def family(pid: int) -> list[int]:
    return [each for each in (pid, *descendants(pid)) if alive(each)]


def test_rows_that_the_store_lost_are_sent_again(single: Stack, alone: Job) -> None:
    """Its file is cut: the rows of a second or so are gone, and with them a checkpoint."""
    with Client(single.url) as client:
        job_id = client.submit(SPEC).id
        begun(client, job_id, steps=3500)
        killed(single)
        (file,) = (single.home / "redis").glob("appendonlydir/*.incr.aof")
        cut_short(file, at=b"SETRANGE", entries=5)
        back(single, client)

        ended = finished(client, job_id)
        steps = [row.step for row in client.metrics(job_id)]
        events = client.events(job_id)
        assert list(client.metrics(job_id)) == list(client.metrics(alone.id))
    log = (single.home / "logs" / "worker-0.log").read_text()
    assert "the missing rows are sent again" in log
    assert (ended.state, ended.attempt, ended.digest) == (State.SUCCEEDED, 1, alone.digest)
    assert steps == list(range(STEPS))
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert not list((single.home / "run").rglob("*"))


def cut_short(file: Path, *, at: bytes, entries: int) -> None:
    """Cut the file in the middle of its last entry but *entries* of those with *at* in them."""
    content = file.read_bytes()
    where = len(content)
    for _ in range(entries):
        where = content.rindex(at, 0, where)
    file.write_bytes(content[: where + len(at)])
