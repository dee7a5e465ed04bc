"""Trainers that freeze for longer than their lease, and wake up when their job is another's."""

import os
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from optserve.client import Client
from optserve.contract.states import State
from optserve.local.stack import Stack
from store.redis import keys
from store.redis.library import library
from tests.support.machine.processes import alive, eventually, state_of
from tests.support.service.jobs import SHORT, begun, finished, trainer_of
from tests.support.service.stacks import stack_with

LEASE_S = 1.5
EVERY = 50
SPEC: dict[str, Any] = {
    **SHORT,
    "training": {"steps": 40_000, "seed": 5, "checkpoint_every": EVERY, "evaluate_every": None},
}
HOLDS = "return state == STATE.running and token ~= '' and current == token\n"
COUNTED = """
  local held = state == STATE.running and token ~= '' and current == token
  if redis.call('EXISTS', 'zombie/' .. token) == 1 then
    redis.call('HINCRBY', 'zombie/' .. token, held and 'taken' or 'refused', 1)
  end
  return held
"""
NO_TOKEN = COUNTED.replace(" and token ~= '' and current == token", "")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with two workers and a short lease."""
    home = tmp_path_factory.mktemp("pair")
    with stack_with(home, workers=2, OPTSERVE_LEASE_S=f"{LEASE_S}") as started:
        yield started


def counting(running: Stack, how: str) -> "redis.Redis":
    """Return a client of the stack's server, whose functions now count what zombies try."""
    store = redis.from_url(running.redis_url, decode_responses=True)
    assert library().count(HOLDS) == 1
    store.function_load(library().replace(HOLDS, how), replace=True)
    return store


def froze(client: Client, store: "redis.Redis", job_id: str) -> tuple[int, str]:
    """Stop the trainer of the job; return it and its token once another worker has the job."""
    job = client.job(job_id)
    (worker,) = [worker.pid for worker in client.workers() if worker.id == job.worker]
    trainer = trainer_of(worker)
    os.kill(trainer, signal.SIGSTOP)
    eventually(lambda: state_of(trainer) == "T")
    token: Any = store.hget(keys.JOB % ("local", job_id), "token")
    eventually(lambda: client.job(job_id).attempt > job.attempt, within_s=60)
    store.hset(f"zombie/{token}", "refused", "0")
    return trainer, token


def wake(trainer: int) -> float:
    """Let the trainer go on; return the seconds until it ended."""
    began = time.monotonic()
    os.kill(trainer, signal.SIGCONT)
    eventually(lambda: not alive(trainer), within_s=10)
    return time.monotonic() - began


def zombies(pair: Stack, moments: int) -> None:
    draw = random.Random(7)
    with Client(pair.url) as client, counting(pair, COUNTED) as store:
        expected = finished(client, client.submit({**SPEC, "labels": {"is": "alone"}}).id)
        job_id = ""
        tried = 0
        for _ in range(moments):
            if not job_id or client.job(job_id).step > SPEC["training"]["steps"] // 2:
                if job_id:
                    same(client, job_id, expected.digest)
                job_id = client.submit(SPEC).id
            # After another checkpoint: three deaths without one would rightly be a crash loop.
            begun(client, job_id, steps=client.job(job_id).checkpoint_step + EVERY + 1)
            time.sleep(draw.uniform(0, 0.3))
            trainer, token = froze(client, store, job_id)
            took = wake(trainer)
            counts: Any = store.hgetall(f"zombie/{token}")
            assert "taken" not in counts
            assert took <= 2.5, f"seed 7: it lived for {took:.2f} s"
            tried += int(counts["refused"])
        same(client, job_id, expected.digest)
        assert tried >= moments / 2  # some wake up where they only want to compute


def same(client: Client, job_id: str, digest: str | None) -> None:
    ended = finished(client, job_id)
    assert (ended.state, ended.digest) == (State.SUCCEEDED, digest)
    steps = [row.step for row in client.metrics(job_id)]
    assert steps == list(range(SPEC["training"]["steps"]))


@pytest.mark.slow
def test_a_zombie_writes_nothing_and_leaves_at_once(pair: Stack) -> None:
    zombies(pair, 5)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_zombies_write_nothing(pair: Stack) -> None:
    zombies(pair, 200)


@pytest.mark.slow
def test_without_a_look_at_the_token_a_zombie_goes_on(pair: Stack) -> None:
    """The test above can fail."""
    with Client(pair.url) as client, counting(pair, NO_TOKEN) as store:
        job_id = client.submit(SPEC).id
        begun(client, job_id, steps=60)
        trainer, token = froze(client, store, job_id)

        os.kill(trainer, signal.SIGCONT)

        eventually(lambda: store.hexists(f"zombie/{token}", "taken") is True)
        client.kill(job_id)
        finished(client, job_id)
