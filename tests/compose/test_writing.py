"""Every feature that writes files or records, seen in the containers and in their volumes."""

from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from optserve.client import Client
from optserve.contract.requests.clone import Keep
from optserve.contract.states import State
from store.redis.keys import JOB
from tests.support.machine.processes import eventually
from tests.support.service.composed import Composed, docker
from tests.support.service.composed_jobs import SOME, STEPS, is_whole
from tests.support.service.jobs import LONG, SHORT, begun, finished

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

RECENT = {**SHORT, "training": {**SHORT["training"], "checkpoint_every": 20}}
STATES: tuple[tuple[Literal["last"] | int, Keep], ...] = (
    ("last", "weights"),
    (20, "weights"),
    ("last", "optimizer"),
)
"""What clones start from, and what they keep."""


def rows_in_store(stack: Composed, job_id: str) -> object:
    return stack.ask_store("EXISTS", f"optserve:rows:local:{job_id}:0")


def test_the_rows_of_a_job_that_has_ended_are_a_file_and_no_longer_in_the_store(
    stack: Composed, service: Client, tmp_path: Path
) -> None:
    job = finished(service, service.submit(SHORT).id)
    rows = [(row.step, row.lr, row.loss) for row in service.metrics(job.id)]

    eventually(lambda: rows_in_store(stack, job.id) == 0)

    archive = f"jobs/local/{job.id}/archive"
    (name,) = [file for file in stack.files(archive) if file.endswith(".parquet")]
    docker("cp", f"{stack.container('api')}:/storage/{name}", str(tmp_path / "rows.parquet"))
    table = pq.read_table(tmp_path / "rows.parquet").to_pydict()
    assert list(zip(table["step"], table["lr"], table["loss"], strict=True)) == rows
    assert [(row.step, row.lr, row.loss) for row in service.metrics(job.id)] == rows
    assert service.events(job.id)[-1].kind == "succeeded"


def test_a_clone_begins_with_a_copy_of_what_another_job_came_to(
    stack: Composed, service: Client
) -> None:
    parent = finished(service, service.submit(RECENT).id)

    changes = {"name": "finer", "optimizer": {"lr": 0.001}}
    last, kept, warm = (
        finished(service, service.clone(parent.id, source=source, keep=keep, changes=changes).id)
        for source, keep in STATES
    )

    assert {last.state, kept.state, warm.state} == {State.SUCCEEDED}
    for clone in (last, warm):
        assert clone.parent is not None
        assert (clone.parent.job, clone.parent.step) == (parent.id, parent.step)
        assert stack.files(f"jobs/local/{clone.id}")


def test_the_trained_network_comes_home(service: Client, tmp_path: Path) -> None:
    job = finished(service, service.submit(SHORT).id)

    service.download(job.id, "model.safetensors", tmp_path / "model.safetensors")

    assert "model.safetensors" in job.artifacts
    assert len(load_file(tmp_path / "model.safetensors")) == 4


def test_a_cancelled_job_has_saved_a_checkpoint_first(stack: Composed, service: Client) -> None:
    job_id = service.submit(LONG).id
    begun(service, job_id, steps=100)
    service.cancel(job_id)

    job = finished(service, job_id)

    assert job.state is State.CANCELLED
    assert job.checkpoint_step == job.step >= 100
    assert [file for file in stack.files(f"jobs/local/{job_id}") if "/checkpoints/" in file]


def test_a_paused_job_goes_on_where_it_was(service: Client, undisturbed: str) -> None:
    job_id = service.submit(SOME).id
    begun(service, job_id, steps=100)
    service.pause(job_id)
    eventually(lambda: service.job(job_id).state is State.PAUSED)
    paused = service.job(job_id)

    service.resume(job_id)

    assert 100 <= paused.step == paused.checkpoint_step < STEPS
    assert is_whole(service, finished(service, job_id), undisturbed)
    assert service.job(job_id).verified_rows == 0


def test_a_restarted_job_begins_anew(service: Client, undisturbed: str) -> None:
    job_id = service.submit(SOME).id
    begun(service, job_id, steps=100)
    service.pause(job_id)
    eventually(lambda: service.job(job_id).state is State.PAUSED)

    restarted = service.restart(job_id)
    service.resume(job_id)

    assert (restarted.step, restarted.checkpoint_step) == (0, 0)
    assert is_whole(service, finished(service, job_id), undisturbed)


def test_jobs_that_are_not_kept_go_with_their_files(stack: Composed) -> None:
    with Client(stack.url) as client:
        job = finished(client, client.submit(RECENT).id)
    eventually(lambda: rows_in_store(stack, job.id) == 0)
    assert stack.files(f"jobs/local/{job.id}")
    scaled = ("up", "-d", "--scale", "worker=2")

    stack.variables["OPTSERVE_KEEP_JOBS"] = "0"
    stack.run(*scaled)
    stack.wait_until_ready()

    eventually(lambda: stack.files("jobs") == [], within_s=60)
    assert stack.ask_store("EXISTS", JOB % ("local", job.id)) == 0
    del stack.variables["OPTSERVE_KEEP_JOBS"]
    stack.run(*scaled)
    stack.wait_until_ready()
