"""Whoever loses connections, however often: what it has in the end is 0..N-1, bit for bit."""

import asyncio
import os
import random
import signal
from collections.abc import Callable

import pytest
import redis

from optserve.local.stack import Stack
from store.jobs import calls
from store.jobs.series import PLAIN
from store.redis.functions import send
from tests.support.http.sessions import Session, odd_rows
from tests.support.http.trained_job import ROWS, TrainedJob
from tests.support.machine.processes import eventually
from tests.support.store.protocol import append

pytestmark = pytest.mark.long

AT_ONCE = 100


async def read(
    running: Stack,
    store: redis.Redis,
    seed: int,
    work: Callable[[TrainedJob], None],
    *,
    polls: bool = True,
) -> None:
    """Let sessions read a job while *work* is done on it; each must have all of it in the end."""
    job = TrainedJob(store, seed)
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
                running.supervise()  # here: what another thread starts ends with that thread
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


def undisturbed(job: TrainedJob) -> None:
    job.finish(job.train())


def cut_twice(job: TrainedJob) -> None:
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


def restarting(running: Stack) -> Callable[[TrainedJob], None]:
    """Return work during which the API is killed."""

    def work(job: TrainedJob) -> None:
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
def test_sessions_broken_at_random_get_every_step_once(
    running: Stack, store: redis.Redis, seed: int
) -> None:
    asyncio.run(read(running, store, seed, undisturbed))


def test_sessions_end_with_the_valid_rows_when_rows_are_truncated(
    running: Stack, store: redis.Redis
) -> None:
    asyncio.run(read(running, store, 3, cut_twice, polls=False))


def test_sessions_get_every_step_once_when_the_service_is_killed(
    running: Stack, store: redis.Redis
) -> None:
    asyncio.run(read(running, store, 4, restarting(running)))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_sessions_get_every_step_once(running: Stack, store: redis.Redis) -> None:
    for seed in range(1000, 1000 + 10_000 // AT_ONCE):
        if seed % 10 == 0:
            asyncio.run(read(running, store, seed, restarting(running)))
        elif seed % 10 == 1:
            asyncio.run(read(running, store, seed, cut_twice, polls=False))
        else:
            asyncio.run(read(running, store, seed, undisturbed))
