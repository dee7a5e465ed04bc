"""Whoever loses connections, however often: what it has in the end is 0..N-1, bit for bit."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable

import pytest
import redis

from optserve.local.stack import Stack
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.series import PLAIN, Row
from store.redis.functions import send
from tests.support.http.sessions import Session, odd_rows
from tests.support.machine.processes import eventually
from tests.support.store.protocol import append, begin, submit

ROWS = 600
AT_ONCE = 100


class Job:
    """A job that is trained while sessions read it, at random paces."""

    def __init__(self, store: redis.Redis, seed: int) -> None:
        self.store, self._seed = store, seed
        self._chosen = random.Random(seed)
        self.id = submit(store, training={"steps": ROWS, "device": "cpu"}, priority=100)
        self.rows: list[Row] = []

    def train(self, *, until: int = ROWS, from_step: int = 0) -> Claim:
        """Append rows in batches of any size up to row *until*, at the pace of a quick job."""
        attempt = f"{self._seed} {random.Random(self._seed + from_step + until).random()}"
        held = begin(self.store, attempt, worker=attempt, fingerprint=attempt)
        assert held.job_id == self.id
        self.rows = [*self.rows[:from_step], *odd_rows(attempt, until - from_step)]
        done = from_step
        while done < until:
            count = min(int(10 ** self._chosen.uniform(0, 1.8)), until - done)
            append(self.store, held, done, self.rows[done : done + count])
            done += count
            time.sleep(self._chosen.uniform(0, 0.1))
        return held

    def finish(self, held: Claim, *, rows: int = ROWS) -> None:
        """End it."""
        result = {"test_loss": 1.0, "test_accuracy": 0.5}
        call = calls.finish(held, rows=rows, digest=str(self._seed), result=result, artifacts={})
        send(self.store, call)


async def read(
    running: Stack,
    store: redis.Redis,
    seed: int,
    work: Callable[[Job], None],
    *,
    polls: bool = True,
) -> None:
    """Let sessions read a job while *work* is done on it; each must have all of it in the end."""
    job = Job(store, seed)
    sessions = [
        Session(running.url, job.id, random.Random(f"{seed} {i}"), polls=polls)
        for i in range(AT_ONCE)
    ]
    try:
        async with asyncio.timeout(240), asyncio.TaskGroup() as group:
            working = group.create_task(asyncio.to_thread(work, job))
            for session in sessions:
                group.create_task(session.run())
            while not working.done():
                running.look_after()  # here: what another thread starts ends with that thread
                await asyncio.sleep(0.05)
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise

    wanted = PLAIN.pack(job.rows)
    for session in sessions:
        assert [row[0] for row in session.rows] == list(range(ROWS)), seed
        assert session.packed() == wanted, seed
        assert (session.ends, session.digest) == (1, str(seed))
    assert sum(session.connections for session in sessions) > 2 * len(sessions)


def undisturbed(job: Job) -> None:
    job.finish(job.train())


def cut_twice(job: Job) -> None:
    """Restarted once, and once it goes on where bits come out differently."""
    store = job.store
    held = job.train(until=200)
    send(store, calls.release(held, why="test"))
    send(store, calls.restart("local", job.id))
    held = job.train(until=300)
    send(store, calls.checkpointed(held, step=250, path="p", sha256="s", digest="d"))
    send(store, calls.release(held, why="test"))
    send(store, calls.accept("local", job.id))
    job.finish(job.train(from_step=250))


def restarting(running: Stack) -> Callable[[Job], None]:
    """Return work during which the API is killed."""

    def work(job: Job) -> None:
        held = job.train(until=300)
        killed = running.processes()["api"]
        os.kill(killed, signal.SIGKILL)
        job.rows += odd_rows("rest", ROWS - 300)
        append(job.store, held, 300, job.rows[300:400])
        eventually(lambda: running.processes()["api"] != killed)
        append(job.store, held, 400, job.rows[400:])
        job.finish(held)

    return work


@pytest.mark.parametrize("seed", [1, 2])
def test_sessions_that_break_at_random_have_every_step_once(
    running: Stack, store: redis.Redis, seed: int
) -> None:
    asyncio.run(read(running, store, seed, undisturbed))


def test_sessions_have_what_counts_when_rows_were_cut(running: Stack, store: redis.Redis) -> None:
    asyncio.run(read(running, store, 3, cut_twice, polls=False))


def test_sessions_survive_that_the_service_is_killed(running: Stack, store: redis.Redis) -> None:
    asyncio.run(read(running, store, 4, restarting(running)))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_sessions_have_every_step_once(running: Stack, store: redis.Redis) -> None:
    for seed in range(1000, 1000 + 10_000 // AT_ONCE):
        if seed % 10 == 0:
            asyncio.run(read(running, store, seed, restarting(running)))
        elif seed % 10 == 1:
            asyncio.run(read(running, store, seed, cut_twice, polls=False))
        else:
            asyncio.run(read(running, store, seed, undisturbed))
