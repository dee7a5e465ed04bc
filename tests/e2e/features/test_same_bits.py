"""Whatever dies while a job runs, and whatever ran before it: the same rows, the same digest."""

import contextlib
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from optserve.client import Client
from optserve.client.errors import ServiceError, Unreachable
from optserve.contract.answers.jobs import Job
from optserve.contract.states import State
from optserve.local.stack import Stack
from store.redis.constants import MAX_CRASHES
from tests.support.machine.processes import (
    alive,
    children,
    command_line,
    environment,
    eventually,
    kill,
)
from tests.support.service.jobs import SHORT, begun, finished, trainer_of
from tests.support.service.stacks import stack_with

SEED = 7
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")
STEPS = 2400
KINDS = ("trainer", "worker", "api")


def spec_of(optimizer: str) -> dict[str, Any]:
    return {
        **SHORT,
        "optimizer": {"kind": optimizer, "lr": 0.003},
        "training": {"steps": STEPS, "seed": 3, "checkpoint_every": 100},
    }


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with two workers, to be maltreated."""
    with stack_with(tmp_path_factory.mktemp("fleet"), workers=2, OPTSERVE_LEASE_S="3") as started:
        yield started


@pytest.fixture
def service(fleet: Stack) -> Iterator[Client]:
    with Client(fleet.url) as client:
        yield client


def api_of(fleet: Stack) -> int:
    """Return the process of the fleet's API."""
    (api,) = [
        pid
        for pid in children(os.getpid())
        if "api.app" in command_line(pid) and environment(pid)["OPTSERVE_HOME"] == str(fleet.home)
    ]
    return api


class Killer:
    """Kills the API, or a worker that trains, or its trainer; no job suffers more than twice."""

    def __init__(self, fleet: Stack, service: Client, seed: int) -> None:
        self.draw = random.Random(seed)
        self.killed: list[str] = []
        self._fleet, self._service = fleet, service
        self._deaths: Counter[str] = Counter()
        self._kinds: list[str] = []

    def strike(self) -> None:
        """Wait for a random moment, and kill whom there is."""
        time.sleep(self.draw.uniform(0, 1.5))
        if not self._kinds:
            self._kinds = self.draw.sample(KINDS, len(KINDS))
        with contextlib.suppress(Unreachable, ServiceError, ValueError):  # it is just starting
            if self._kill(self._kinds[-1]):
                self.killed.append(self._kinds.pop())

    def _kill(self, kind: str) -> bool:
        """Kill one of *kind*; return whether there was one."""
        if kind == "api":
            kill(api_of(self._fleet))
            return True
        for worker in self._service.workers():
            # Three deaths in a row without a checkpoint would rightly be a crash loop.
            if worker.job and alive(worker.pid) and self._deaths[worker.job] < MAX_CRASHES - 1:
                self._deaths[worker.job] += 1
                kill(worker.pid if kind == "worker" else trainer_of(worker.pid))
                return True
        return False


def server_of(fleet: Stack) -> int:
    """Return the process of the fleet's embedded server."""
    (server,) = [pid for pid in children(os.getpid()) if f"{fleet.home}/redis" in command_line(pid)]
    return server


def patiently(fleet: Stack, client: Client, job_id: str) -> Job:
    """Return the job, from an API that may be away; what died is started again meanwhile."""
    found: list[Job] = []

    def answers() -> bool:
        fleet.supervise()
        try:
            found.append(client.job(job_id))
        except (ServiceError, Unreachable):
            return False
        return True

    eventually(answers)
    return found[0]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_jobs_survive_sigkill_of_everything_at_random_moments(
    fleet: Stack, service: Client
) -> None:
    """Of 20 jobs on two workers none loses or repeats a row, and every tensor is the same."""
    expected = {name: finished(service, service.submit(spec_of(name)).id) for name in OPTIMIZERS}
    killer = Killer(fleet, service, SEED)
    names = [OPTIMIZERS[i % len(OPTIMIZERS)] for i in range(20)]
    jobs = {service.submit(spec_of(name)).id: name for name in names}

    def all_over() -> bool:
        if all(patiently(fleet, service, job_id).state.final for job_id in jobs):
            return True
        killer.strike()
        return False

    eventually(all_over, within_s=400)

    ended = {job_id: patiently(fleet, service, job_id) for job_id in jobs}
    context = f"seed {SEED}, killed {killer.killed}"
    assert {job.state for job in ended.values()} == {State.SUCCEEDED}, context
    wanted = {name: list(service.metrics(job.id)) for name, job in expected.items()}
    for job_id, name in jobs.items():
        rows = list(service.metrics(job_id))
        assert [row.step for row in rows] == list(range(STEPS)), context
        assert rows == wanted[name], context
        assert ended[job_id].digest == expected[name].digest, context
    assert len(killer.killed) >= 10, context
    assert set(killer.killed) == set(KINDS), context
    assert sum(job.attempt for job in ended.values()) >= len(jobs) + 5, context
    assert sum(job.verified_rows for job in ended.values()) > 0, context


def test_a_server_killed_in_the_middle_costs_nothing(fleet: Stack, service: Client) -> None:
    expected = finished(service, service.submit(spec_of("adam")).id)
    job_id = service.submit(spec_of("adam")).id
    eventually(lambda: patiently(fleet, service, job_id).step >= 150)

    kill(server_of(fleet))

    eventually(lambda: patiently(fleet, service, job_id).state.final, within_s=60)
    ended = patiently(fleet, service, job_id)
    assert (ended.state, ended.digest) == (State.SUCCEEDED, expected.digest)
    assert [row.step for row in service.metrics(job_id)] == list(range(STEPS))


@pytest.mark.long
@pytest.mark.parametrize("damage", ["a flipped byte", "cut short"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    fleet: Stack, service: Client, damage: str
) -> None:
    expected = finished(service, service.submit(spec_of("adam")).id)
    job_id = service.submit(spec_of("adam")).id
    begun(service, job_id, steps=250)
    service.pause(job_id)
    eventually(lambda: service.job(job_id).state is State.PAUSED)
    last = max((fleet.home / "storage" / "jobs" / "local" / job_id).glob("*/checkpoints/step-*"))
    spoil(last / "state.safetensors", damage)

    service.resume(job_id)
    ended = finished(service, job_id)

    paused_at = int(last.name.split("-")[1])
    (refusal,) = [e for e in service.events(job_id) if e.kind == "checkpoint_refused"]
    assert (ended.state, ended.digest) == (State.SUCCEEDED, expected.digest)
    assert "the file is damaged" in refusal.data["why"]
    assert refusal.data["step"] < paused_at
    assert ended.verified_rows == paused_at - refusal.data["step"]


def spoil(file: Path, damage: str) -> None:
    content = bytearray(file.read_bytes())
    if damage == "cut short":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_nothing_of_one_job_reaches_the_next(running: Stack, tmp_path: Path) -> None:
    """Job B after job A in one trainer is job B alone in a fresh one, bit for bit."""
    del tmp_path
    other = {
        **SHORT,
        "optimizer": {"kind": "sgd", "lr": 0.5},
        "training": {"steps": 77, "seed": 12, "precision": "fp64"},
    }
    with Client(running.url) as client:
        (worker,) = [w for w in client.workers() if alive(w.pid)]
        kill(trainer_of(worker.pid))
        alone = finished(client, client.submit(SHORT).id)
        fresh = trainer_of(worker.pid)
        finished(client, client.submit(other).id)
        after = finished(client, client.submit(SHORT).id)

        assert trainer_of(worker.pid) == fresh
        assert after.digest == alone.digest
        assert [r.loss for r in client.metrics(after.id)] == [
            r.loss for r in client.metrics(alone.id)
        ]


def test_twenty_clients_with_one_idempotency_key_make_one_job(running: Stack) -> None:
    start = threading.Barrier(20)

    def post(_: int) -> httpx.Response:
        with httpx.Client(base_url=running.url, timeout=30) as client:
            start.wait()
            return client.post("/v1/jobs", json=SHORT, headers={"Idempotency-Key": "one of 20"})

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(20)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
