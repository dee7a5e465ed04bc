"""A job whose checkpoints find no room."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from optserve.client import Client
from optserve.contract.states import State
from optserve.local import stack
from tests.support.machine.disk import Disk, small_disk
from tests.support.machine.processes import eventually
from tests.support.service.jobs import SHORT, finished

pytestmark = pytest.mark.long

JOB = {**SHORT, "training": {"epochs": 4, "seed": 3, "checkpoint_every": 20}}


@pytest.fixture(scope="module")
def small(
    tmp_path_factory: pytest.TempPathFactory, data_dir: Path
) -> Iterator[tuple[Client, Disk]]:
    """A stack whose storage is small."""
    home = tmp_path_factory.mktemp("small")
    with ExitStack() as whole:
        disk = whole.enter_context(small_disk(home / "disk", megabytes=4))
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("OPTSERVE_DATA", str(data_dir.resolve()))
            environment.setenv("OPTSERVE_STORAGE", str(disk.root / "storage"))
            running = whole.enter_context(stack.running(home=home, port=0, workers=1))
        yield whole.enter_context(Client(running.url)), disk


def test_a_job_waits_for_room_says_so_and_goes_on(small: tuple[Client, Disk]) -> None:
    client, disk = small
    undisturbed = finished(client, client.submit(JOB).id)
    disk.fill()

    job_id = client.submit(JOB).id
    eventually(lambda: "storage_full" in _kinds(client, job_id), within_s=60)
    waiting = client.job(job_id)
    disk.free()
    job = finished(client, job_id)

    assert (waiting.state, waiting.checkpoint_step) == (State.RUNNING, 0)
    assert (job.state, job.attempt) == (State.SUCCEEDED, 1)
    assert job.digest == undisturbed.digest
    assert _kinds(client, job_id).count("storage_full") == 1
    assert "storage_has_room" in _kinds(client, job_id)


def test_a_job_that_waits_for_room_can_be_cancelled(small: tuple[Client, Disk]) -> None:
    client, disk = small
    disk.fill()
    job_id = client.submit(JOB).id
    eventually(lambda: "storage_full" in _kinds(client, job_id), within_s=60)

    client.cancel(job_id)
    job = finished(client, job_id)
    disk.free()

    assert job.state is State.CANCELLED


def _kinds(client: Client, job_id: str) -> list[str]:
    return [event.kind for event in client.events(job_id)]
