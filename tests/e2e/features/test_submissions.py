"""Submissions to a service that is killed meanwhile: each job is there, and is there once."""

from collections.abc import Iterator
from typing import Any

import pytest

from optserve.client import Client
from optserve.contract.answers.jobs import ListedJob
from optserve.contract.states import State
from optserve.local.stack import Stack
from tests.support.machine.processes import eventually
from tests.support.service.jobs import SHORT
from tests.support.service.stacks import stack_with
from tests.support.service.submissions import post_all

pytestmark = pytest.mark.long

TINY: dict[str, Any] = {
    **SHORT,
    "schedule": {"kind": "constant"},
    "training": {"steps": 1, "seed": 3, "evaluate_every": None},
}
WAITING: dict[str, Any] = {**TINY, "training": {**TINY["training"], "device": "cuda"}}
"""Nobody here takes it."""


@pytest.fixture
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with one worker, whose parts may be killed."""
    with stack_with(tmp_path_factory.mktemp("killed"), workers=1) as started:
        yield started


def all_jobs(running: Stack) -> list[ListedJob]:
    """Return all jobs there are."""
    found: list[ListedJob] = []
    with Client(running.url, retry_for_s=60) as client:
        after: str | None = None
        while True:
            page = client.jobs(after=after, limit=1000)
            found += page.data
            if not page.has_more:
                return found
            after = str(page.next)


def each_key_is_one_job(running: Stack, *, keys: int, kills: int, seed: int) -> None:
    answers = post_all(running, WAITING, keys=keys, copies=5, kills=["api"] * kills, seed=seed)

    assert answers.failed == [], f"seed {seed}"
    assert {len(ids) for ids in answers.ids.values()} == {1}, f"seed {seed}"
    assert set(answers.conflicts) == {422}
    assert len(answers.conflicts) == keys
    known = {job_id for ids in answers.ids.values() for job_id in ids}
    assert sorted(known) == sorted(job.id for job in all_jobs(running)), f"seed {seed}"


@pytest.mark.slow
def test_five_submissions_of_a_key_are_one_job_whatever_is_killed(killed: Stack) -> None:
    each_key_is_one_job(killed, keys=150, kills=4, seed=11)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_ten_thousand_keys_are_ten_thousand_jobs(killed: Stack) -> None:
    each_key_is_one_job(killed, keys=10_000, kills=50, seed=12)


def what_is_accepted_ends(running: Stack, *, jobs: int, kills: int, seed: int) -> None:
    names = ["api", "server"] * (kills // 2)
    answers = post_all(running, TINY, keys=jobs, copies=1, kills=names, seed=seed)
    assert answers.failed == [], f"seed {seed}"

    def all_ended() -> bool:
        running.supervise()
        with Client(running.url, retry_for_s=60) as client:
            return not client.jobs(state=State.QUEUED, limit=1).data and not (
                client.jobs(state=State.RUNNING, limit=1).data
            )

    eventually(all_ended, within_s=60 + jobs)
    found = all_jobs(running)
    accepted = {job_id for ids in answers.ids.values() for job_id in ids}
    assert accepted == {job.id for job in found}, f"seed {seed}"
    assert len(found) == jobs  # a submission without an answer was repeated, and made no second job
    assert {(job.state, job.step) for job in found} == {(State.SUCCEEDED, 1)}


def test_every_accepted_job_ends_whatever_is_killed(killed: Stack) -> None:
    what_is_accepted_ends(killed, jobs=80, kills=4, seed=21)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_one_of_five_thousand_accepted_jobs_ends(killed: Stack) -> None:
    what_is_accepted_ends(killed, jobs=5000, kills=60, seed=22)
