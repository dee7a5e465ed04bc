"""Two releases on one store, as while a service is upgraded: neither disturbs the other."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
import redis

from optcore.schedules.catalogue import SCHEDULES
from optcore.schedules.warmup import Warmup
from optcore.spec.errors import SpecError
from optcore.spec.former.runs import is_former
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optserve.client import Client
from optserve.contract.requests.job import JobSpec
from optserve.contract.states import State
from tests.support.machine.processes import eventually, kill
from tests.support.service.jobs import SHORT, begun, finished
from tests.support.service.releases import Age, Service, checked_out

pytestmark = pytest.mark.long

STEPS = 6000
SPEC: dict[str, Any] = {
    **SHORT,
    "training": {"steps": STEPS, "seed": 3, "evaluate_every": None, "checkpoint_every": 500},
}
"""Some seconds: other processes come and go meanwhile."""
FRACTIONS: dict[str, Any] = {
    **SPEC,
    "schedule": {
        **{"kind": "cosine", "length": {"epochs": 300.37}},
        "warmup": {"length": {"epochs": 3.3}},
    },
}
"""The same job with durations that are no whole numbers of steps: 0.2.0 rounds them."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checked_out(tmp_path_factory.mktemp("release"))


@pytest.fixture
def service(tmp_path: Path, old: Path) -> Iterator[Service]:
    with serving(tmp_path, old) as running:
        yield running


@pytest.fixture
def since_the_first(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Release 0.1.0 beside the present code."""
    first = checked_out(tmp_path_factory.mktemp("first"), version="0.1.0")
    with serving(tmp_path, first) as running:
        yield running


@contextmanager
def serving(home: Path, old: Path) -> Iterator[Service]:
    (home / "storage").mkdir()
    (home / "logs").mkdir()
    with Service(home, old).running() as running:
        yield running


def other(age: Age) -> Age:
    return "new" if age == "old" else "old"


def steps(client: Client, job_id: str) -> list[int]:
    return [row.step for row in client.metrics(job_id)]


def lrs(client: Client, job_id: str) -> list[float]:
    return [row.lr for row in client.metrics(job_id)]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["old", "new"])
def test_jobs_of_both_run_to_their_end_with_every_row_once(service: Service, first: Age) -> None:
    """The second release comes while a job of the first one runs, and the first one goes."""
    apis = {first: service.api(first)}
    service.worker(first, apis[first])
    running = apis[first].submit(SPEC).id
    begun(apis[first], running)

    apis[other(first)] = service.api(other(first))
    service.worker(other(first), apis[first])
    jobs = [running, *(apis[age].submit(SPEC).id for age in (first, other(first), first))]
    ready = [client.ready() for client in apis.values()]
    ended = [finished(apis[other(first)], job_id) for job_id in jobs]

    assert ready == [True, True]
    assert [job.state for job in ended] == [State.SUCCEEDED] * 4
    assert len({job.digest for job in ended}) == 1
    for client in apis.values():
        assert [steps(client, job_id) for job_id in jobs] == [list(range(STEPS))] * 4
        assert {job.id for job in client.jobs(limit=10).data} == set(jobs)
        assert {worker.state for worker in client.workers()} == {"idle"}


@pytest.mark.parametrize("first", ["old", pytest.param("new", marks=pytest.mark.slow)])
def test_a_job_goes_on_with_the_other_release_when_its_worker_dies(
    service: Service, first: Age
) -> None:
    api, later = service.api(first), service.api(other(first))
    service.worker(first, api)
    job_id = api.submit(SPEC).id
    begun(api, job_id, steps=1000)

    kill(service.pid("worker", first))
    service.worker(other(first), later)
    service.end("api", first)
    job = finished(later, job_id)

    assert (job.state, job.attempt) == (State.SUCCEEDED, 2)
    assert steps(later, job_id) == list(range(STEPS))


@pytest.mark.slow
def test_what_the_first_release_has_accepted_is_trained_beyond_the_limits_of_later_ones(
    since_the_first: Service,
) -> None:
    service = since_the_first
    api = service.api("old")
    lbfgs = {"kind": "lbfgs", "max_iter": 5000, "history_size": 2000, "tolerance_change": 0.1}
    changes = {"optimizer": lbfgs, "schedule": {"kind": "constant"}}
    job_id = api.submit({**SHORT, **changes, "training": {"steps": 2, "seed": 3}}).id

    later = service.api("new")
    service.worker("new", later)
    job = finished(later, job_id)

    assert (job.state, job.reason, job.step) == (State.SUCCEEDED, None, 2)


def test_a_job_that_0_2_0_accepted_keeps_the_lr_that_0_2_0_computes(service: Service) -> None:
    api, later = service.api("old"), service.api("new")
    service.worker("old", api)
    whole, parted = (api.submit(FRACTIONS).id for _ in range(2))
    finished(api, whole)
    begun(api, parted, steps=1000)

    kill(service.pid("worker", "old"))
    service.worker("new", later)
    job = finished(later, parted)

    assert (job.state, job.attempt, job.lr_off_plan_at) == (State.SUCCEEDED, 2, None)
    assert lrs(later, parted) == lrs(later, whole)
    assert job.digest == later.job(whole).digest


def test_a_job_that_0_2_0_would_compute_otherwise_waits_for_this_release(service: Service) -> None:
    api, later = service.api("old"), service.api("new")
    service.worker("old", api)
    job_id = later.submit(FRACTIONS).id
    finished(later, later.submit(SPEC).id)
    before = later.job(job_id)

    service.worker("new", later)
    job = finished(later, job_id)

    assert (before.state, before.attempt) == (State.QUEUED, 0)
    assert (job.state, job.attempt) == (State.SUCCEEDED, 1)
    assert steps(later, job_id) == list(range(STEPS))


def test_0_2_0_accepts_every_job_that_its_workers_may_claim(old: Path, tmp_path: Path) -> None:
    dumps = [spec.model_dump(mode="json") for spec in variants() if is_former(spec)]
    (tmp_path / "specs.json").write_text(json.dumps(dumps))
    code = """if True:
        import json, sys
        from jobs.spec.job import JobSpec
        for spec in json.load(open(sys.argv[1])):
            try:
                JobSpec.parse(spec)
            except Exception as error:
                print(spec["optimizer"], spec["schedule"], error)
    """

    done = subprocess.run(
        [sys.executable, "-P", "-c", code, tmp_path / "specs.json"],
        env={**os.environ, "PYTHONPATH": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert len(dumps) > 200
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def variants() -> Iterator[JobSpec]:
    """Yield jobs: each optimizer, and each schedule with each warmup, in each dialect."""
    for kind, optimizer in OPTIMIZERS.items():
        for dialect in optimizer.DIALECTS:
            named = {"kind": kind, "dialect": dialect, "lr": 0.01}
            yield from accepted({"optimizer": named})
            yield from accepted({"optimizer": {**named, "weight_decay": 0.1}})
    for kind, schedule in SCHEDULES.items():
        for dialect in (None, *getattr(schedule, "DIALECTS", ())):
            form = {"kind": kind} if dialect is None else {"kind": kind, "dialect": dialect}
            for own in (schedule.EXAMPLE, *schedule.VARIANTS.values()):
                yield from accepted({"schedule": {**form, **own}})
                for shape in get_args(Warmup.model_fields["shape"].annotation):
                    for length in (1, 60, {"epochs": 1.5}, 600):
                        warmup = {"length": length, "start": 0.001, "shape": shape}
                        yield from accepted({"schedule": {**form, **own, "warmup": warmup}})


def accepted(parts: dict[str, Any]) -> Iterator[JobSpec]:
    with contextlib.suppress(SpecError):
        yield JobSpec.parse({**SPEC, "training": {"steps": 600}, **parts})


def test_functions_that_are_lost_come_back_for_both(service: Service) -> None:
    apis = [service.api("old"), service.api("new")]
    with redis.from_url(service.redis_url) as store:
        store.function_flush()

    for client in apis:
        eventually(client.ready)

    assert [client.jobs().data for client in apis] == [[], []]
