"""
A machine whose files fail gives its jobs back, and takes none until it is well.

Nothing of that is held against a job: none fails, no checkpoint is forgotten, and each ends with
the bits of a run that nobody disturbed.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from itertools import product
from typing import Any

import httpx
import pytest
import redis

from optserve.client import Client
from optserve.contract.answers.jobs import Job
from optserve.contract.states import State
from optserve.local.stack import Stack
from store.jobs import calls
from store.redis.functions import send
from tests.support.machine.faulty_files import FaultyFiles
from tests.support.machine.processes import eventually, kill
from tests.support.service.jobs import SHORT, finished, trainer_of
from tests.support.service.stacks import stack_with

pytestmark = pytest.mark.long

ERRORS = ("EROFS", "EIO", "ESTALE", "EACCES", "EMFILE", "ENOENT")
TRAINING = {"steps": 3000, "seed": 3, "evaluate_every": None, "checkpoint_every": None}
PHASES: dict[str, tuple[str, dict[str, Any]]] = {
    "checkpoint": ("checkpoints", {"checkpoint_every": 500}),
    "best": ("best", {"evaluate_every": 1000, "keep_best": "val_accuracy"}),
    "finish": ("model.safetensors", {}),
    "restore": ("checkpoints", {"checkpoint_every": 500}),
}
"""Of a job's life: the files that are struck in it, and the training that needs them."""


def in_time(errors: tuple[str, ...], last: str) -> list[Any]:
    """Return the errors, of which all but *last* take too long for every day."""
    return [
        pytest.param(error, marks=[] if error == last else [pytest.mark.slow]) for error in errors
    ]


DAILY = (("checkpoint", "EIO"), ("best", "EROFS"))
"""What is tried of this matrix every day."""
CASES = [
    pytest.param(
        phase,
        error,
        id=f"{error} in {phase}",
        marks=[] if (phase, error) in DAILY else [pytest.mark.slow],
    )
    for phase, error in product(PHASES, ERRORS)
    if (phase, error) != ("restore", "EROFS")  # what is read-only can be read
]


@pytest.fixture(scope="module")
def broken(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Stack, Client, FaultyFiles]]:
    """A stack with two workers whose storage can be broken."""
    home = tmp_path_factory.mktemp("sick")
    files = FaultyFiles(home / "storage", control=tmp_path_factory.mktemp("control") / "mode")
    variables = {**files.environment, "OPTSERVE_FAULT_PATIENCE_S": "0.3"}
    with stack_with(home, workers=2, **variables) as running, Client(running.url) as client:
        eventually(lambda: all(w.fingerprint for w in client.workers()), within_s=120)
        yield running, client, files


@pytest.fixture(scope="module")
def undisturbed(broken: tuple[Stack, Client, FaultyFiles]) -> dict[str, Job]:
    """How each kind of job ends if nobody disturbs it."""
    _, client, _ = broken
    ids = {phase: client.submit(spec_of(phase)).id for phase in PHASES}
    return {phase: finished(client, job_id) for phase, job_id in ids.items()}


def spec_of(phase: str) -> dict[str, Any]:
    dataset = {"kind": "digits", "batch_size": 100, "validation": 300}
    return {**SHORT, "dataset": dataset, "training": {**TRAINING, **PHASES[phase][1]}}


def kinds(client: Client, job_id: str) -> list[str]:
    return [event.kind for event in client.events(job_id)]


def all_well(client: Client) -> bool:
    return {worker.state for worker in client.workers()} == {"idle"}


@pytest.mark.parametrize(("phase", "error"), CASES)
def test_a_job_that_meets_broken_files_goes_on_once_they_are_well(
    broken: tuple[Stack, Client, FaultyFiles],
    undisturbed: dict[str, Job],
    phase: str,
    error: str,
) -> None:
    _, client, files = broken
    match, _ = PHASES[phase]
    if phase == "restore":
        job_id = begun(client, spec_of(phase))
        files.break_with(error, match=match)
        kill_trainer(client, job_id)
    else:
        files.break_with(error, match=match)
        job_id = client.submit(spec_of(phase)).id

    eventually(lambda: given_back_for(client, job_id, error) >= 2, within_s=60)
    files.heal()
    job = finished(client, job_id)

    assert (job.state, job.reason) == (State.SUCCEEDED, None)
    assert job.digest == undisturbed[phase].digest
    assert "checkpoint_refused" not in kinds(client, job_id)
    assert job.fault is None
    resumed = [e.data["step"] for e in client.events(job_id) if e.kind == "started"]
    assert resumed[-1] > 0 or phase != "restore"
    eventually(lambda: all_well(client), within_s=30)


@pytest.mark.slow
@pytest.mark.parametrize("then", in_time(("it trains on", "its trainer dies"), "it trains on"))
def test_nothing_is_written_where_the_storage_is_not_mounted(
    broken: tuple[Stack, Client, FaultyFiles], then: str
) -> None:
    """What is left of a mount that is away is an empty folder, as good as any to write to."""
    running, client, _ = broken
    storage, mounted = running.home / "storage", running.home / "mounted"
    training = {**TRAINING, "steps": 20_000, "checkpoint_every": 1000}
    undisturbed = finished(client, client.submit({**SHORT, "training": training}).id)
    job_id = begun(client, {**SHORT, "training": training})
    storage.rename(mounted)
    storage.mkdir()
    try:
        if then == "its trainer dies":
            kill_trainer(client, job_id)
        eventually(lambda: any(w.state == "unhealthy" for w in client.workers()), within_s=60)
        eventually(lambda: "requeued" in kinds(client, job_id), within_s=60)
        written = list(storage.rglob("*"))
    finally:
        shutil.rmtree(storage)
        mounted.rename(storage)
    job = finished(client, job_id)

    assert written == []
    assert (job.state, job.reason) == (State.SUCCEEDED, None)
    assert job.digest == undisturbed.digest
    assert "checkpoint_passed_over" not in kinds(client, job_id)
    resumed = [event.data["step"] for event in client.events(job_id) if event.kind == "started"]
    assert len(resumed) > 1
    assert all(resumed[1:])
    eventually(lambda: all_well(client), within_s=30)


def given_back_for(client: Client, job_id: str, error: str) -> int:
    """Return how often a job was given back for an error; it must not have ended."""
    assert not client.job(job_id).state.final
    told = [event.data["why"] for event in client.events(job_id) if event.kind == "requeued"]
    return sum(f"({error})" in why for why in told)


def begun(client: Client, spec: dict[str, Any]) -> str:
    """Submit a job and wait until it has a checkpoint."""
    job_id = client.submit(spec).id
    eventually(lambda: client.job(job_id).checkpoint_step > 0, within_s=60)
    return job_id


def kill_trainer(client: Client, job_id: str) -> None:
    (worker,) = [worker for worker in client.workers() if worker.job == job_id]
    kill(trainer_of(worker.pid))


@pytest.mark.parametrize("error", in_time(ERRORS, "EROFS"))
def test_a_worker_without_a_storage_takes_no_jobs_and_says_why(
    broken: tuple[Stack, Client, FaultyFiles], undisturbed: dict[str, Job], error: str
) -> None:
    del undisturbed  # all jobs so far have ended
    _, client, files = broken
    with files.broken(error):
        eventually(lambda: {w.state for w in client.workers()} == {"unhealthy"}, within_s=30)
        told = [worker.unhealthy_reason for worker in client.workers()]
        jobs = [client.submit(spec_of("finish")).id for _ in range(3)]
        waiting = [client.job(job_id) for job_id in jobs]

    ended = [finished(client, job_id) for job_id in jobs]

    assert all(why is not None and f"({error})" in why for why in told)
    assert all((job.state, job.waiting_for) == (State.QUEUED, "machine") for job in waiting)
    assert [(job.state, job.attempt) for job in ended] == [(State.SUCCEEDED, 1)] * 3


@pytest.mark.parametrize("error", in_time(ERRORS, "ESTALE"))
def test_a_clone_of_broken_files_is_refused_and_made_once_they_are_well(
    broken: tuple[Stack, Client, FaultyFiles], undisturbed: dict[str, Job], error: str
) -> None:
    running, client, files = broken
    parent = undisturbed["checkpoint"].id
    before = finished(client, client.clone(parent).id)

    with files.broken(error):
        refused = httpx.post(f"{running.url}/v1/jobs/{parent}/clone", json={}, timeout=30)
    clone = finished(client, client.clone(parent).id)

    assert (refused.status_code, refused.json()["code"]) == (503, "storage_unavailable")
    said = "not mounted" if error == "ENOENT" else os.strerror(getattr(errno, error))
    assert said in refused.json()["detail"]
    assert (clone.state, clone.digest) == (State.SUCCEEDED, before.digest)
    assert client.job(parent).checkpoint_step == undisturbed["checkpoint"].checkpoint_step


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS)
def test_rows_that_cannot_be_moved_stay_and_are_moved_once_files_are_well(
    broken: tuple[Stack, Client, FaultyFiles], error: str
) -> None:
    running, client, files = broken
    job_id = begun(client, spec_of("checkpoint"))
    client.pause(job_id)
    eventually(lambda: client.job(job_id).state is State.PAUSED)
    before, rows = client.job(job_id), list(client.metrics(job_id))
    archive = running.home / "storage" / "jobs" / "local" / job_id / "archive"

    with files.broken(error):
        waited = waits(running)
        client.cancel(job_id)
        eventually(
            lambda: waits(running) > waited or f"local/{job_id}" in archives_set_aside(running)
        )
        while_broken = list(client.metrics(job_id))
        moved = list(archive.glob("*"))

    eventually(lambda: any(archive.glob("*-rows.parquet")), within_s=100)
    eventually(lambda: f"local/{job_id}" not in archives_set_aside(running))
    assert moved == []
    assert while_broken == list(client.metrics(job_id)) == rows
    assert client.checkpoints(job_id)[-1].step == before.checkpoint_step > 0


def waits(running: Stack) -> int:
    """Return how often a round has found that the storage cannot be used."""
    log = (running.home / "logs" / "api.log").read_text()
    return log.count("archiving and retention are paused")


def archives_set_aside(running: Stack) -> list[str]:
    with redis.from_url(running.redis_url) as store:
        aside = send(store, calls.set_aside_members())
    return [each.member for each in aside if each.kind == "archive"]
