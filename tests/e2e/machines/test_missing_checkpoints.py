"""Checkpoints that are not there now are waited for, and nothing is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from optserve.client import Client
from optserve.contract.states import State
from optserve.local.stack import Stack
from store.storage.names import job_folder
from store.storage.storage import Storage
from tests.support.machine.processes import eventually
from tests.support.service.jobs import SHORT, begun, finished
from tests.support.service.stacks import stack_with

pytestmark = pytest.mark.long

SPEC: dict[str, Any] = {
    **SHORT,
    "training": {"steps": 6000, "seed": 3, "evaluate_every": None, "checkpoint_every": 500},
}
MISSING_AFTER_S = 3.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack_with(
        tmp_path_factory.mktemp("missing"),
        OPTSERVE_FAULT_PATIENCE_S="0.3",
        OPTSERVE_MISSING_AFTER_S=str(MISSING_AFTER_S),
    ) as started:
        yield started


@pytest.fixture
def client(running: Stack) -> Iterator[Client]:
    with Client(running.url) as connected:
        yield connected


def paused_with_checkpoints(client: Client) -> str:
    job_id = client.submit(SPEC).id
    begun(client, job_id, steps=1700)
    client.pause(job_id)
    eventually(lambda: client.job(job_id).state is State.PAUSED)
    assert len(client.checkpoints(job_id)) == 3
    return job_id


def folder_of(running: Stack, job_id: str) -> Path:
    return Storage(running.home / "storage").root / job_folder("local", job_id)


def kinds(client: Client, job_id: str) -> list[str]:
    return [event.kind for event in client.events(job_id)]


def starts(client: Client, job_id: str) -> list[int]:
    return [event.data["step"] for event in client.events(job_id) if event.kind == "started"]


def test_a_folder_that_is_away_for_a_moment_costs_nothing(running: Stack, client: Client) -> None:
    undisturbed = finished(client, client.submit(SPEC).id)
    job_id = paused_with_checkpoints(client)
    before = client.checkpoints(job_id)
    folder = folder_of(running, job_id)
    away = folder.rename(folder.with_name("away"))

    client.resume(job_id)
    eventually(lambda: "requeued" in kinds(client, job_id))
    waiting = client.job(job_id)
    if folder.exists():
        folder.rmdir()
    away.rename(folder)
    job = finished(client, job_id)

    assert waiting.fault is not None
    assert "No such file or directory (ENOENT)" in waiting.fault
    assert waiting.checkpoint_step == before[-1].step
    assert (job.state, job.digest) == (State.SUCCEEDED, undisturbed.digest)
    assert "checkpoint_refused" not in kinds(client, job_id)
    assert starts(client, job_id)[1:] == [before[-1].step] * (len(starts(client, job_id)) - 1)


@pytest.mark.slow
def test_one_that_stays_away_is_passed_over_in_the_end(running: Stack, client: Client) -> None:
    undisturbed = finished(client, client.submit(SPEC).id)
    job_id = paused_with_checkpoints(client)
    kept = client.checkpoints(job_id)
    newest = next(folder_of(running, job_id).glob(f"*/checkpoints/step-{kept[-1].step:08d}-*"))
    newest.rename(newest.with_name("taken away by somebody"))

    client.resume(job_id)
    job = finished(client, job_id)

    assert (job.state, job.digest) == (State.SUCCEEDED, undisturbed.digest)
    assert "checkpoint_refused" not in kinds(client, job_id)
    (passed,) = [e.data for e in client.events(job_id) if e.kind == "checkpoint_passed_over"]
    assert passed["step"] == kept[-2].step
    assert job.verified_rows >= kept[-1].step - kept[-2].step


@pytest.mark.slow
def test_a_job_without_any_of_them_begins_anew_in_the_end(running: Stack, client: Client) -> None:
    undisturbed = finished(client, client.submit(SPEC).id)
    job_id = paused_with_checkpoints(client)
    folder = folder_of(running, job_id)
    folder.rename(folder.with_name("taken away by somebody else"))

    client.resume(job_id)
    job = finished(client, job_id)

    assert (job.state, job.digest, job.step) == (State.SUCCEEDED, undisturbed.digest, 6000)
    assert job.bitwise
