"""A job can be stopped whatever its run is at; how soon is measured in benchmarks/stopping.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.stopping import PHASES, service, stop
from optserve.client import Client
from optserve.contract.states import State
from tests.support.machine.faulty_files import FaultyFiles
from tests.support.machine.processes import eventually

pytestmark = pytest.mark.long

QUICK = ("set-up", "L-BFGS", "checkpoint")
"""Phases in which a cancel is tried every time."""


@pytest.fixture(scope="module")
def stack() -> Iterator[tuple[Client, FaultyFiles]]:
    with service() as found:
        yield found


@pytest.mark.parametrize("name", PHASES)
def test_a_job_is_killed_whatever_it_is_at(stack: tuple[Client, FaultyFiles], name: str) -> None:
    phase = PHASES[name]

    _, job = stop(*stack, phase, "kill", phase.within_s[1])

    assert job.state is State.CANCELLED
    assert job.checkpoint_step == 0 or name == "checkpoint"


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in PHASES],
)
def test_a_job_is_cancelled_whatever_it_is_at_and_saved_first(
    stack: tuple[Client, FaultyFiles], name: str
) -> None:
    client, files = stack
    phase = PHASES[name]

    _, job = stop(client, files, phase, "cancel", phase.within_s[1])

    assert job.state is State.CANCELLED
    if phase.saves:
        assert job.checkpoint_step == job.step
    (last,) = client.events(job.id)[-1:]
    assert last.kind == "cancelled"


def test_a_run_whose_files_hang_is_killed_all_the_same(
    stack: tuple[Client, FaultyFiles],
) -> None:
    """Its trainer hears of nothing: the worker ends it."""
    client, files = stack
    with files.broken("hang", match="checkpoints"):
        job_id = client.submit(PHASES["checkpoint"].spec).id
        eventually(lambda: files.held > 0, within_s=60)

        client.kill(job_id)
        eventually(lambda: client.job(job_id).state.final)

    assert client.job(job_id).state is State.CANCELLED
