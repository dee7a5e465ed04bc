"""Clones through the real stack: trained from another job's weights, and interrupted."""

import json
from pathlib import Path
from typing import Any

import pytest

from optserve.client import Client
from optserve.contract.states import State
from optserve.local.stack import Stack
from tests.support.machine.processes import eventually
from tests.support.service.commands import optserve
from tests.support.service.jobs import SHORT, begun, finished

SPEC: dict[str, Any] = {
    **SHORT,
    "schedule": {"kind": "linear"},
    "training": {"steps": 60, "seed": 3, "checkpoint_every": 20},
}


def losses(service: Client, job_id: str) -> list[float]:
    return [row.loss for row in service.metrics(job_id)]


def test_a_clone_goes_on_from_the_network_of_a_finished_job(service: Client) -> None:
    parent = finished(service, service.submit(SPEC).id)
    changes = {"name": "finer", "optimizer": {"lr": 0.001}, "training": {"seed": 9}}

    job = finished(service, service.clone(parent.id, changes=changes).id)

    assert (job.state, job.name, job.step) == (State.SUCCEEDED, "finer", 60)
    assert job.parent is not None
    assert (job.parent.job, job.parent.step, job.parent.keep) == (parent.id, 60, "weights")
    assert next(service.metrics(job.id)).lr == 0.001
    assert losses(service, job.id)[0] < losses(service, parent.id)[0] / 2


def test_two_clones_of_one_checkpoint_are_one_run(service: Client) -> None:
    parent = finished(service, service.submit(SPEC).id)
    assert [kept.step for kept in service.checkpoints(parent.id)] == [20, 40, 60]

    ended = [
        finished(service, service.clone(parent.id, source=40, keep=keep).id)
        for keep in ("weights", "optimizer", "optimizer")
    ]

    assert {job.state for job in ended} == {State.SUCCEEDED}
    cold, warm, again = (job.digest for job in ended)
    assert warm == again != cold


def test_a_clone_goes_on_from_the_end_with_the_optimizers_state(service: Client) -> None:
    constant = {**SPEC, "schedule": {"kind": "constant"}}
    training = {**SPEC["training"], "steps": 100}
    longer = finished(service, service.submit({**constant, "training": training}).id)
    parent = finished(service, service.submit(constant).id)

    changes = {"training": {"steps": 40}}
    clone = service.clone(parent.id, keep="optimizer", changes=changes)
    ended = finished(service, clone.id)

    assert ended.digest == longer.digest
    assert losses(service, ended.id) == losses(service, longer.id)[60:]


@pytest.mark.slow
def test_a_clone_that_is_interrupted_goes_on_with_the_same_bits_when_its_parent_is_gone(
    service: Client, running: Stack
) -> None:
    parent = finished(service, service.submit(SPEC).id)
    changes = {"training": {"steps": 3000, "checkpoint_every": 100}}
    undisturbed, disturbed = (
        service.clone(parent.id, source=20, keep="optimizer", changes=changes).id for _ in range(2)
    )
    for file in (running.home / "storage" / "jobs" / "local" / parent.id).rglob("*.safetensors"):
        file.unlink()
    wanted = finished(service, undisturbed)

    begun(service, disturbed, steps=150)
    service.pause(disturbed)
    eventually(lambda: service.job(disturbed).state is State.PAUSED)
    service.resume(disturbed)
    ended = finished(service, disturbed)

    assert (ended.state, ended.attempt, ended.digest) == (State.SUCCEEDED, 2, wanted.digest)
    assert losses(service, disturbed) == losses(service, undisturbed)


def test_a_clone_whose_copy_was_damaged_fails_and_says_so(service: Client, running: Stack) -> None:
    """Its first worker finds it; nothing is trained from other weights."""
    parent = finished(service, service.submit(SPEC).id)
    busy = service.submit({**SPEC, "training": {"steps": 50_000_000}})
    begun(service, busy.id)
    clone = service.clone(parent.id, source=20)
    spoil(running.home / "storage" / "jobs" / "local" / clone.id / "parent" / "model.safetensors")

    service.kill(busy.id)
    ended = finished(service, clone.id)

    assert (ended.state, ended.reason, ended.step) == (State.FAILED, "parent_unusable", 0)
    assert ended.detail is not None
    assert "the file is damaged" in ended.detail


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.long
def test_clone_is_a_command(service: Client, running: Stack) -> None:
    parent = finished(service, service.submit(SPEC).id)
    changes = json.dumps({"name": "from the terminal", "optimizer": {"lr": 0.002}})

    listed = optserve("checkpoints", parent.id, home=running.home)
    done = optserve("clone", parent.id, "--from", "40", "--changes", changes, home=running.home)
    wrong = optserve("clone", parent.id, "--from", "41", home=running.home)
    shown = optserve("show", done.stdout.split()[0], home=running.home)

    assert [line.split("\t")[0] for line in listed.stdout.splitlines()] == ["20", "40", "60"]
    assert done.returncode == 0, done.stderr
    assert f"weights of {parent.id} after 40 steps" in shown.stdout
    assert "from the terminal" in shown.stdout
    assert wrong.returncode == 1
    assert "(20, 40, 60), got 41" in wrong.stderr
