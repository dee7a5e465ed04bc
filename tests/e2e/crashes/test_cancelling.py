"""Cancelling at any moment, many times at once: a job ends once, and soon."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from optserve.client import Client
from optserve.contract.answers.jobs import Job
from optserve.contract.states import State
from optserve.local.stack import Stack
from tests.support.machine.processes import eventually
from tests.support.service.jobs import SHORT, finished
from tests.support.service.stacks import stack_with

pytestmark = pytest.mark.long

CLIENTS = 10
STOPS_S = 2.0
SPEC: dict[str, Any] = {
    **SHORT,
    "schedule": {"kind": "constant"},
    "training": {"steps": 300, "seed": 3, "evaluate_every": None},
}
"""A third of a second, or less."""
ENDS = {"succeeded", "cancelled", "failed"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with two workers."""
    with stack_with(tmp_path_factory.mktemp("cancelling"), workers=2) as started:
        with Client(started.url) as client:
            eventually(lambda: all(w.fingerprint for w in client.workers()), within_s=120)
        yield started


def cancelled(running: Stack, *, jobs: int, seed: int) -> list[float]:
    """Cancel so many jobs at random moments; return the seconds until each was over."""
    draw = random.Random(seed)
    took: list[float] = []
    with Client(running.url) as client, ThreadPoolExecutor(CLIENTS) as pool:
        each = [Client(running.url) for _ in range(CLIENTS)]
        for _ in range(jobs):
            job_id = client.submit(SPEC).id
            time.sleep(draw.choice([0.0, draw.uniform(0, 0.1), draw.uniform(0, 0.5)]))
            asked = time.monotonic()
            answers = list(pool.map(lambda one, job=job_id: one.cancel(job), each))
            assert {answer.id for answer in answers} == {job_id}
            ended = finished(client, job_id)
            took.append(time.monotonic() - asked)
            ends_once(client, ended)
        for one in each:
            one.close()
    return took


def ends_once(client: Client, job: Job) -> None:
    events = client.events(job.id)
    assert job.state in (State.CANCELLED, State.SUCCEEDED)
    assert [event.kind for event in events if event.kind in ENDS] == [str(job.state)]
    assert events[-1].kind == job.state
    assert [row.step for row in client.metrics(job.id)] == list(range(job.step))
    if job.state is State.CANCELLED and job.step:
        assert job.checkpoint_step == job.step  # it was saved first


def test_ten_cancels_at_once_end_a_job_once(pair: Stack) -> None:
    took = cancelled(pair, jobs=25, seed=5)

    assert max(took) <= STOPS_S, "seed 5"


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_thousand_jobs_are_cancelled_ten_times_each(pair: Stack) -> None:
    took = cancelled(pair, jobs=1000, seed=6)

    assert max(took) <= STOPS_S, "seed 6"
