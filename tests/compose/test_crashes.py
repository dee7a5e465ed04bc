"""Containers that crash, are told to leave, or are replaced by newer ones, while a job runs."""

import subprocess
import threading
import time

import pytest

from optserve.client import Client
from optserve.contract.answers.jobs import Job
from tests.support.service.composed import PREFIX, ROOT, Composed, crash, docker, inspected
from tests.support.service.composed_jobs import SOME, STEPS, is_whole
from tests.support.service.jobs import begun, finished

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

STRUCK_AT = 1500
"""Steps after which something happens to a job: past its first checkpoint."""
LEAVES_S = 10.0
UPGRADED_STEPS = 30_000
"""Of a job that outlasts the seconds that compose needs before it stops a worker."""


def at_work(client: Client, *, steps: int = STEPS) -> Job:
    """Return a job of so many steps that runs and has a checkpoint."""
    spec = {**SOME, "training": {**SOME["training"], "steps": steps}}
    return begun(client, client.submit(spec).id, steps=STRUCK_AT)


def worker_of(stack: Composed, job: Job) -> str:
    """Return the container whose worker has the job."""
    assert job.worker is not None
    (found,) = [c for c in stack.containers("worker") if job.worker.startswith(c[:12])]
    return found


def test_a_worker_that_crashes_loses_nothing(
    stack: Composed, service: Client, undisturbed: str
) -> None:
    job = at_work(service)

    crash(worker_of(stack, job))

    assert is_whole(service, finished(service, job.id), undisturbed)
    assert service.job(job.id).attempt == 2
    stack.wait_until_ready()


def test_an_api_that_crashes_breaks_a_stream_that_goes_on_without_a_gap(
    stack: Composed, service: Client, undisturbed: str
) -> None:
    job = at_work(service)
    seen: list[int] = []
    reading = threading.Event()

    def follow() -> None:
        with Client(stack.url) as client:
            for update in client.follow(job.id):
                if isinstance(update, list):
                    seen.extend(row.step for row in update)
                    reading.set()

    follower = threading.Thread(target=follow)
    follower.start()
    assert reading.wait(60)

    crash(stack.container("api"))

    follower.join(120)
    assert seen == list(range(STEPS))
    stack.wait_until_ready()
    assert is_whole(service, service.job(job.id), undisturbed)


def test_a_store_that_crashes_has_kept_what_it_accepted(
    stack: Composed, service: Client, undisturbed: str
) -> None:
    job = at_work(service)
    queued = [service.submit(SOME).id for _ in range(2)]

    crash(stack.container("redis"))

    for job_id in (job.id, *queued):
        assert is_whole(service, finished(service, job_id), undisturbed)
    stack.wait_until_ready()


def test_a_worker_that_is_told_to_leave_saves_its_job_in_time(
    stack: Composed, service: Client, undisturbed: str
) -> None:
    job = at_work(service)
    container = worker_of(stack, job)

    told = time.monotonic()
    docker("stop", "-t", "30", container)
    took = time.monotonic() - told

    (state,) = inspected(container)
    ended = finished(service, job.id)
    (requeued,) = [event for event in service.events(job.id) if event.kind == "requeued"]
    assert took < LEAVES_S
    assert state["State"]["ExitCode"] == 0
    assert is_whole(service, ended, undisturbed)
    assert requeued.data["step"] >= STRUCK_AT
    assert ended.verified_rows == 0  # nothing was computed twice
    docker("start", container)
    stack.wait_until_ready()


def test_images_are_upgraded_while_a_job_runs(stack: Composed, service: Client) -> None:
    (redis,) = stack.containers("redis")
    before = {c for name in ("api", "worker") for c in stack.containers(name)}
    for image in ("api", "worker"):
        newer = f"FROM {PREFIX}-{image}:now\nLABEL release=next\n"
        build = ["docker", "build", "-q", "-t", f"{PREFIX}-{image}:next", "-"]
        subprocess.run(build, input=newer, text=True, check=True, capture_output=True, cwd=ROOT)
    job = at_work(service, steps=UPGRADED_STEPS)

    stack.variables["TAG"] = "next"
    stack.run("up", "-d", "--scale", "worker=2")
    stack.wait_until_ready()

    ended = finished(service, job.id)
    undisturbed = finished(service, at_work(service, steps=UPGRADED_STEPS).id)
    now = [c for name in ("api", "worker") for c in stack.containers(name)]
    assert not before & set(now)
    assert {s["Config"]["Labels"].get("release") for s in inspected(*now)} == {"next"}
    assert stack.containers("redis") == [redis]
    assert undisturbed.attempt == 1
    assert is_whole(service, ended, str(undisturbed.digest), steps=UPGRADED_STEPS)
    assert ended.verified_rows == 0  # the old worker had saved it
    assert ended.attempt == 2
