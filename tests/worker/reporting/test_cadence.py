"""When a loop of short steps looks up from them, and what it must not miss meanwhile."""

import contextlib
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import redis

from optcore.training.loop import train
from optcore.training.reports import Report
from optcore.training.run import Run
from optserve.contract.requests.job import JobSpec
from store.jobs.calls import Claim
from store.settings import Settings
from tests.support.store.protocol import LEASE_MS, SPEC, begin, claim, history, storage_of, submit
from worker.attempt import attempt
from worker.attempt.attempt import LOOK_S, Attempt, Stop, Tools
from worker.attempt.lease import Lease
from worker.reporting.cadence import CLOCK_READS, Cadence
from worker.reporting.planned import LrPlan
from worker.reporting.reporter import Reporter
from worker.reporting.retry import RetryingSender


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_period_is_over_at_once_and_then_after_its_time() -> None:
    clock = Clock()
    pace = Cadence(0, 2.0, clock)
    at_once = pace.ask(1)

    begun = pace.begin()
    clock.now += 1.5
    before = pace.ask(2)
    clock.now += 0.5
    after = pace.ask(3)

    assert (at_once, begun, before, after) == (0, 1, 1, 0)


def test_as_many_steps_are_made_before_asking_again_as_fit_by_the_pace_of_the_last_ones() -> None:
    clock = Clock()
    pace = Cadence(10, CLOCK_READS * 1.0, clock)
    pace.begin()

    clock.now += 1.0
    quick = pace.ask(110)
    clock.now += 2.0
    slow = pace.ask(120)
    clock.now += 3.0
    over = pace.ask(210)
    clock.now += 100.0  # for whatever is done then; it is not the steps'
    again = pace.begin()
    clock.now += 2.0
    later = pace.ask(250)

    assert (quick, slow, over, again, later) == (100, 5, 0, 30, 20)


@pytest.mark.parametrize("row", [10, 11])
@pytest.mark.parametrize("after_s", [0.0, 60.0])
def test_one_step_is_made_even_if_none_fits(row: int, after_s: float) -> None:
    clock = Clock()
    pace = Cadence(10, 100.0, clock)
    pace.begin()
    clock.now += after_s

    assert pace.ask(row) == 1


# ------------------------------------------------------------------ the loop

TRAINING = {"steps": 2000, "device": "cpu", "evaluate_every": None, "checkpoint_every": None}


def followed(
    client: redis.Redis, root: Path, leaving: threading.Event, **changes: object
) -> tuple[Run, list[float]]:
    """Return a run as far as it was followed, and when the loop looked up from it."""
    training = {**TRAINING, **changes}
    submit(client, training=training)
    held = begin(client)
    run = Run.start(JobSpec.parse({**SPEC, "training": training}).run_spec(), data_dir=root)
    looked = list[float]()
    with (
        Lease(held, client, Settings()) as lease,
        Reporter(
            held, RetryingSender(client, leaving), LrPlan(run.spec), first=0, lease_ms=LEASE_MS
        ) as reporter,
    ):
        post = reporter.post

        def noted() -> None:
            looked.append(time.monotonic())
            post()

        reporter.post = noted  # type: ignore[method-assign]  # it still does what it did
        tools = Tools(client, storage_of(client, root), Settings(), "cpu", leaving)
        with contextlib.suppress(Stop):
            Attempt(held, tools).follow(run, reporter, lease, root)
    return run, looked


@pytest.mark.parametrize("changes", [{}, {"steps": 300, "accumulate": 8}])
def test_a_loop_of_short_steps_looks_up_once_in_a_period(
    client: redis.Redis, tmp_path: Path, changes: dict[str, int]
) -> None:
    run, looked = followed(client, tmp_path, threading.Event(), **changes)

    *between, _ = (after - before for before, after in pairwise(looked))  # but the last evaluation
    assert run.finished
    assert between
    assert min(between) >= LOOK_S


def test_a_loop_whose_steps_become_long_still_looks_up_soon(
    client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here some hundred times as long: by the pace of those before, 1000 would go in a period."""
    leaving, quick, long_s = threading.Event(), 1000, 0.02

    def slowed(run: Run) -> Iterator[Report]:
        for report in train(run):
            yield report
            if run.row >= quick:
                leaving.set()
                time.sleep(long_s)

    monkeypatch.setattr(attempt, "train", slowed)

    run, _ = followed(client, tmp_path, leaving)

    assert quick <= run.row <= quick + 400


def test_checkpoints_are_made_when_they_are_due_however_seldom_the_loop_looks_up(
    client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "LOOK_S", 3600.0)
    training = {"steps": 100, "device": "cpu", "checkpoint_every": 7, "evaluate_every": 40}
    job_id = submit(client, training=training)
    assert claim(client, "t") is not None
    storage = storage_of(client, tmp_path)
    tools = Tools(client, storage, Settings(home=tmp_path), "cpu", threading.Event())

    outcome = Attempt(Claim("local", job_id, "t"), tools).train()

    steps = [e["data"]["step"] for e in history(client, job_id) if e["kind"] == "checkpointed"]
    assert outcome == "succeeded"
    assert steps == list(range(7, 100, 7))
