"""Bells that nobody hears, and bells that ring for nothing: jobs start all the same, once."""

import os
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from optserve.client import Client
from optserve.contract.answers.history import Event
from optserve.contract.states import State
from optserve.local.stack import Stack
from store.redis import doorbell, keys
from store.redis.library import library
from tests.support.machine.processes import alive, eventually, kill
from tests.support.service.jobs import SHORT, finished
from tests.support.service.stacks import stack_with

pytestmark = pytest.mark.long

TINY: dict[str, Any] = {
    **SHORT,
    "schedule": {"kind": "constant"},
    "training": {"steps": 5, "seed": 3, "evaluate_every": None},
}
START_S = 7.0
RINGS = """    if not seen[device] then
      seen[device] = true"""
LOST = RINGS.replace("not seen[device]", "false")
REPAIRS = "          table.insert(found, device)\n"


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with two workers, whose rings can be lost."""
    with stack_with(tmp_path_factory.mktemp("rings"), workers=2) as started:
        with Client(started.url) as client:
            eventually(lambda: all(w.fingerprint for w in client.workers()), within_s=120)
        yield started


@pytest.fixture
def store(single: Stack) -> Iterator["redis.Redis"]:
    """The server; it has the right functions again afterwards."""
    with redis.from_url(single.redis_url) as client:
        yield client
        client.function_load(library(), replace=True)


def without(store: "redis.Redis", *changes: tuple[str, str]) -> None:
    """Give the server functions with *changes*."""
    text = library()
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    store.function_load(text, replace=True)


def waited_s(events: list[Event]) -> float:
    (submitted,) = [event for event in events if event.kind == "submitted"]
    (started,) = [event for event in events if event.kind == "started"]
    return (started.at - submitted.at).total_seconds()


def test_jobs_whose_rings_are_lost_start_within_seven_seconds(
    single: Stack, store: "redis.Redis"
) -> None:
    without(store, (RINGS, LOST))
    draw = random.Random(7)
    with Client(single.url) as client:
        jobs = []
        for _ in range(12):
            jobs.append(client.submit(TINY).id)
            time.sleep(draw.uniform(0, 1.5))
        ended = [finished(client, job_id) for job_id in jobs]
        waits = [waited_s(client.events(job_id)) for job_id in jobs]

    assert {(job.state, job.attempt) for job in ended} == {(State.SUCCEEDED, 1)}
    assert max(waits) <= START_S
    assert max(waits) > 1  # they were lost indeed


@pytest.mark.slow
def test_without_the_repair_a_lost_ring_is_a_lost_job(single: Stack, store: "redis.Redis") -> None:
    """The test above can fail."""
    queue = f"rq:queue:{keys.queue_name('cpu')}"
    with Client(single.url) as client:
        eventually(lambda: all(w.state == "idle" for w in client.workers()))
        eventually(lambda: not store.llen(queue))  # a ring of the jobs before, yet unheard
        time.sleep(1.0)
        without(store, (RINGS, LOST), (REPAIRS, ""))
        job_id = client.submit(TINY).id
        time.sleep(START_S + 2)
        assert client.job(job_id).state is State.QUEUED

        store.function_load(library(), replace=True)

        assert finished(client, job_id).state is State.SUCCEEDED


def test_rings_that_come_three_times_start_each_job_once(
    single: Stack, store: "redis.Redis"
) -> None:
    with Client(single.url) as client:
        jobs = []
        for _ in range(20):
            jobs.append(client.submit(TINY).id)
            for _ in range(3):
                doorbell.ring(store, "cpu", jobs[-1])
        ended = [finished(client, job_id) for job_id in jobs]

    assert {(job.state, job.attempt) for job in ended} == {(State.SUCCEEDED, 1)}


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)]
)
def test_a_ring_that_reaches_a_dead_or_frozen_worker_reaches_another(
    single: Stack, store: "redis.Redis", how: signal.Signals
) -> None:
    del store
    with Client(single.url) as client:

        def both_idle() -> bool:
            single.supervise()
            workers = [worker for worker in client.workers() if alive(worker.pid)]
            return len(workers) == 2 and all(w.state == "idle" and w.fingerprint for w in workers)

        eventually(both_idle, within_s=120)
        # The one that has waited longest is the one that the server would wake.
        victim = min(
            (worker for worker in client.workers() if alive(worker.pid)),
            key=lambda worker: worker.last_seen_at,
        ).pid
        os.kill(victim, how)
        jobs = [client.submit(TINY).id for _ in range(2)]
        ended = [finished(client, job_id) for job_id in jobs]
        waits = [waited_s(client.events(job_id)) for job_id in jobs]
        kill(victim)

    assert {job.state for job in ended} == {State.SUCCEEDED}
    assert max(waits) <= START_S
