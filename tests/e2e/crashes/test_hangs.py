"""Runs that hang, and one that kills whoever trains it, among others that are well."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from optserve.client import Client
from optserve.contract.answers.history import Event
from optserve.contract.states import State
from optserve.local.stack import Stack
from store.redis.constants import MAX_CRASHES
from tests.support.machine.processes import eventually
from tests.support.service.jobs import SHORT, finished
from tests.support.service.stacks import stack_with
from tests.support.strange.by_seed import DIES, MARK, SLEEPS, SLEEPS_ALONE, SPINS

pytestmark = pytest.mark.long

STEP_LIMIT_S = 2.0


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose trainers misbehave with some jobs."""
    with stack_with(
        tmp_path_factory.mktemp("strange"),
        workers=2,
        worker_module="tests.support.strange.by_seed",
        OPTSERVE_STEP_LIMIT_S=f"{STEP_LIMIT_S}",
    ) as started:
        yield started


@pytest.fixture
def client(strange: Stack) -> Iterator[Client]:
    with Client(strange.url) as connected:
        yield connected


def spec_of(seed: int) -> dict[str, Any]:
    return {**SHORT, "training": {"steps": 60, "seed": seed, "evaluate_every": None}}


def first(events: list[Event], kind: str) -> Event:
    return next(event for event in events if event.kind == kind)


def logs(home: Path) -> str:
    return "".join(path.read_text() for path in (home / "logs").glob("worker-*.log"))


@pytest.mark.parametrize("seed", [SLEEPS, SLEEPS_ALONE, SPINS])
def test_a_run_that_hangs_is_noticed_and_goes_on_elsewhere(
    strange: Stack, client: Client, seed: int
) -> None:
    before = len(re.findall("in _misled", logs(strange.home)))
    job_id = client.submit(spec_of(seed)).id

    eventually(lambda: "requeued" in [event.kind for event in client.events(job_id)], within_s=120)
    events = client.events(job_id)
    client.kill(job_id)
    finished(client, job_id)

    dumped = logs(strange.home)
    hung_at = max(float(moment) for moment in re.findall(f"{MARK}(.*)", dumped))
    assert first(events, "requeued").at.timestamp() - hung_at < STEP_LIMIT_S + 2.0
    assert len(re.findall("in _misled", dumped)) > before


def test_a_job_that_kills_its_trainers_fails_after_three_and_harms_no_other(
    client: Client,
) -> None:
    poison = client.submit(spec_of(DIES)).id
    others = [client.submit({**spec_of(seed), "name": "well"}).id for seed in range(6)]

    ended = finished(client, poison)

    assert (ended.state, ended.reason) == (State.FAILED, "crash_loop")
    assert ended.attempt == MAX_CRASHES
    assert ended.detail is not None
    assert "SIGKILL" in ended.detail
    found = [finished(client, other) for other in others]
    assert {job.state for job in found} == {State.SUCCEEDED}
    assert {job.attempt for job in found} == {1}
