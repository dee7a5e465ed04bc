"""The rounds in a container of their own, beside an API that runs none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from optserve.client import Client
from optserve.contract.states import State
from tests.support.machine.processes import eventually
from tests.support.service.composed import Composed, composed, crash
from tests.support.service.composed_jobs import SOME, is_whole
from tests.support.service.jobs import begun, finished

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

QUICK = Path(__file__).parent / "quick.yml"


@pytest.fixture(scope="module")
def apart(stack: Composed) -> Iterator[Composed]:
    """A stack whose API runs no rounds, with one worker."""
    del stack  # its images are built
    variables = {
        "OPTSERVE_CONTROL": "separate",
        "COMPOSE_PROFILES": "control",
        "OPTSERVE_LEASE_S": "5",
        # As for `undisturbed`: how many threads train decides the last bits.
        "OPTSERVE_WORKERS_ON_MACHINE": "2",
    }
    with composed("optserve-test-control", QUICK, **variables) as started:
        started.run("up", "-d")
        started.wait_until_ready()
        yield started


def test_an_ended_job_is_archived_and_a_dead_workers_job_taken_back(
    apart: Composed, undisturbed: str
) -> None:
    with Client(apart.url) as client:
        job_id = client.submit(SOME).id
        begun(client, job_id, steps=1500)
        crash(apart.container("worker"))
        job = finished(client, job_id)

        assert (job.state, job.attempt) == (State.SUCCEEDED, 2)
        assert is_whole(client, job, undisturbed)
        rows = f"optserve:rows:local:{job_id}:0"
        eventually(lambda: apart.ask_store("EXISTS", rows) == 0, within_s=30)
        assert is_whole(client, job, undisturbed)


def test_without_the_container_nothing_is_archived(apart: Composed) -> None:
    """So it was the container that did, and not the API."""
    apart.run("stop", "-t", "10", "control")
    with Client(apart.url) as client:
        job = finished(client, client.submit(SOME).id)
        other = finished(client, client.submit(SOME).id)

    rows = [f"optserve:rows:local:{each.id}:0" for each in (job, other)]
    assert apart.ask_store("EXISTS", *rows) == len(rows)

    apart.run("start", "control")
    eventually(lambda: apart.ask_store("EXISTS", *rows) == 0, within_s=30)
