"""A job whose machine is gone, through the real stack: it waits, is restarted, or goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from optserve.client import Client
from optserve.contract.answers.history import Event
from optserve.contract.states import State
from tests.support.machine.processes import eventually
from tests.support.service.jobs import SHORT, begun, finished
from tests.support.service.stacks import stack_with

OTHER_KERNELS = ("ATEN_CPU_CAPABILITY", "default")
"""What makes of this machine another one: torch then computes without vector instructions."""
STEPS = 3000


def spec_of(optimizer: str, **training: object) -> dict[str, Any]:
    return {
        **SHORT,
        "optimizer": {"kind": optimizer, "lr": 0.003},
        "training": {"steps": STEPS, "seed": 3, "checkpoint_every": 100, **training},
    }


@contextmanager
def machine(home: Path, *, other: bool = False) -> Iterator[Client]:
    """Give a client of the stack on *home*, with a worker on this machine or on an *other*."""
    kernels = dict([OTHER_KERNELS] if other else [])
    with (
        stack_with(home, workers=1, OPTSERVE_OFFER_AFTER_S="0.5", **kernels) as running,
        Client(running.url) as client,
    ):
        yield client


def interrupted(client: Client, spec: dict[str, Any]) -> str:
    """Return a job that was begun, has a checkpoint, and was put aside."""
    job_id = client.submit(spec).id
    begun(client, job_id, steps=250)
    client.pause(job_id)
    eventually(lambda: client.job(job_id).state is State.PAUSED)
    return job_id


def told(client: Client, job_id: str, kind: str) -> list[Event]:
    return [event for event in client.events(job_id) if event.kind == kind]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_job_whose_machine_is_gone_waits_until_it_is_told_how_to_go_on(tmp_path: Path) -> None:
    """Exact jobs wait; one is restarted, one accepts other bits; a third need not be asked."""
    with machine(tmp_path) as client:
        restarted, accepted = (interrupted(client, spec_of("adam")) for _ in range(2))
        inexact = interrupted(client, spec_of("adam", exact=False))
        here = finished(client, client.submit(spec_of("adam")).id)

    with machine(tmp_path, other=True) as client:
        there = finished(client, client.submit(spec_of("adam")).id)
        for job_id in (restarted, accepted, inexact):
            client.resume(job_id)
        ended = finished(client, inexact)
        eventually(lambda: client.job(accepted).offers == ["restart", "accept"])
        waiting = [client.job(job_id) for job_id in (restarted, accepted)]
        kept = client.job(accepted).checkpoint_step

        client.restart(restarted)
        client.accept(accepted)
        anew, on = finished(client, restarted), finished(client, accepted)

        assert there.digest != here.digest  # it is another machine
        assert [job.waiting_for for job in waiting] == ["fingerprint"] * 2
        assert (ended.state, ended.bitwise) == (State.SUCCEEDED, False)
        assert len(told(client, inexact, "continued_elsewhere")) == 1
        assert (anew.state, anew.bitwise, anew.digest) == (State.SUCCEEDED, True, there.digest)
        assert anew.truncations == [0]
        assert (on.state, on.bitwise) == (State.SUCCEEDED, False)
        assert on.digest not in (here.digest, there.digest)
        losses = {job.id: [row.loss for row in client.metrics(job.id)] for job in (anew, on, here)}
        assert [len(found) for found in losses.values()] == [STEPS] * 3
        assert losses[on.id][:kept] == losses[here.id][:kept]
        assert losses[on.id][kept:] != losses[here.id][kept:]


@pytest.mark.slow
def test_an_inexact_job_on_its_own_machine_is_the_same_run(tmp_path: Path) -> None:
    with machine(tmp_path) as client:
        undisturbed = finished(client, client.submit(spec_of("adam")).id)
        job_id = interrupted(client, spec_of("adam", exact=False))
        client.resume(job_id)
        ended = finished(client, job_id)

    assert (ended.state, ended.bitwise, ended.truncations) == (State.SUCCEEDED, True, [])
    assert ended.digest == undisturbed.digest
