"""SIGTERM to a worker, to its trainer, to both, and twice: jobs are saved and given back."""

import os
import random
import signal
import time
from collections.abc import Iterator

import pytest

from optserve.client import Client
from optserve.contract.states import State
from optserve.local.stack import Stack
from tests.support.machine.processes import alive, eventually
from tests.support.service.jobs import SHORT, begun, finished, trainer_of
from tests.support.service.stacks import stack_with

pytestmark = pytest.mark.long

LEAVES_S = 8.0
STEPS = 3000


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with two workers."""
    with stack_with(tmp_path_factory.mktemp("pair"), workers=2) as started:
        yield started


@pytest.mark.parametrize(
    "whom",
    [
        "worker",
        *(
            pytest.param(whom, marks=pytest.mark.slow)
            for whom in ("trainer", "both", "worker, twice")
        ),
    ],
)
def test_whoever_is_told_to_leave_saves_its_job_and_gives_it_back(pair: Stack, whom: str) -> None:
    spec = {
        **SHORT,
        "training": {"steps": STEPS, "seed": 5, "checkpoint_every": None, "evaluate_every": None},
    }
    with Client(pair.url) as client:
        job_id = client.submit(spec).id
        begun(client, job_id, steps=50)
        name = client.job(job_id).worker
        (worker,) = [worker.pid for worker in client.workers() if worker.id == name]
        trainer = trainer_of(worker)

        if "worker" in whom or whom == "both":
            os.kill(worker, signal.SIGTERM)
        if whom in ("trainer", "both"):
            os.kill(trainer, signal.SIGTERM)
        if "twice" in whom:
            time.sleep(0.05)  # a signal that is pending already would be merged with the first
            os.kill(worker, signal.SIGTERM)
        told = time.monotonic()
        eventually(lambda: not alive(trainer), within_s=LEAVES_S)
        if whom != "trainer":
            eventually(lambda: not alive(worker), within_s=LEAVES_S - (time.monotonic() - told))

        def over() -> bool:
            pair.supervise()
            return client.job(job_id).state.final

        eventually(over, within_s=120)
        job = finished(client, job_id)
        events = client.events(job_id)
        (requeued,) = [event for event in events if event.kind == "requeued"]
        saved, last = [event for event in events if event.kind == "checkpointed"]
    assert (job.state, job.attempt) == (State.SUCCEEDED, 2)
    assert requeued.data["step"] == saved.data["step"] >= 50
    assert last.data["step"] == job.step
    assert job.verified_rows == 0  # nothing was computed twice


def test_a_trainer_without_a_job_that_is_told_to_leave_takes_none(pair: Stack) -> None:
    with Client(pair.url) as client:

        def both_there() -> bool:
            pair.supervise()
            return len([w for w in client.workers() if w.fingerprint]) == 2

        eventually(both_there, within_s=60)
        finished(client, client.submit(SHORT).id)
        trainers = [trainer_of(worker.pid) for worker in client.workers()]

        for trainer in trainers:
            os.kill(trainer, signal.SIGTERM)
        eventually(lambda: not any(alive(trainer) for trainer in trainers), within_s=60)
        job = finished(client, client.submit(SHORT).id)

    assert (job.state, job.attempt) == (State.SUCCEEDED, 1)


def deployed(running: Stack, *, times: int, seed: int) -> None:
    """Replace all workers at once, again and again, while jobs train and wait."""
    draw = random.Random(seed)
    training = {"steps": 1000, "seed": 5, "checkpoint_every": None, "evaluate_every": None}
    spec = {**SHORT, "training": training, "labels": {"deployed": str(seed)}}
    with Client(running.url, retry_for_s=60) as client:
        jobs = [client.submit(spec).id for _ in range(4)]
        for _ in range(times):
            while sum(not client.job(job_id).state.final for job_id in jobs[-8:]) < 4:
                jobs.append(client.submit(spec).id)
            eventually(lambda: any(client.job(j).state is State.RUNNING for j in jobs), within_s=60)
            time.sleep(draw.uniform(0, 0.3))
            workers = [pid for name, pid in running.processes().items() if "worker" in name]
            for worker in workers:
                os.kill(worker, signal.SIGTERM)
            eventually(lambda: not any(alive(pid) for pid in workers), within_s=LEAVES_S)  # noqa: B023

            def tended() -> bool:
                running.supervise()
                return all(alive(pid) for pid in running.processes().values())

            eventually(tended)
        ended = [finished(client, job_id) for job_id in jobs]
    assert {job.state for job in ended} == {State.SUCCEEDED}, f"seed {seed}"
    assert sum(job.verified_rows for job in ended) == 0  # nothing was computed twice
    assert len({job.digest for job in ended}) == 1
    assert max(job.attempt for job in ended) > 1


@pytest.mark.slow
def test_all_workers_are_replaced_under_load(pair: Stack) -> None:
    deployed(pair, times=2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_workers_are_replaced_fifty_times(pair: Stack) -> None:
    deployed(pair, times=50, seed=2)
