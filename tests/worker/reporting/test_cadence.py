"""When a loop of short steps polls, and what it must not miss meanwhile."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import redis

from optcore.training import loop
from optcore.training.reports import Report
from optcore.training.run import Run
from optserve.contract.requests.job import JobSpec
from store.jobs.calls import Claim
from store.settings import Settings
from tests.support.store.protocol import SPEC, begin, claim, history, storage_of, submit
from tests.support.worker.sessions import session_of, train_session
from worker.attempt.attempt import Attempt
from worker.attempt.session import Stop, Tools, Train
from worker.reporting.cadence import ABSENT_S, ANSWER_S, CLOCK_READS, POLL_S, Cadence


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_period_is_over_at_once_and_later_ones_after_their_time() -> None:
    clock = Clock()
    cadence = Cadence(2.0, clock=clock)
    cadence.start(0)
    at_once = cadence.steps_left(1)

    begun = cadence.begin_period()
    clock.now += 1.5
    before = cadence.steps_left(2)
    clock.now += 0.5
    after = cadence.steps_left(3)

    assert (at_once, begun, before, after) == (0, 1, 1, 0)


def test_the_steps_between_two_reads_of_the_clock_follow_the_last_speed() -> None:
    clock = Clock()
    cadence = Cadence(CLOCK_READS * 1.0, clock=clock)
    cadence.start(10)
    cadence.begin_period()

    clock.now += 1.0
    quick = cadence.steps_left(110)
    clock.now += 2.0
    slow = cadence.steps_left(120)
    clock.now += 3.0
    over = cadence.steps_left(210)
    clock.now += 100.0  # for whatever is done then; it is not the steps'
    again = cadence.begin_period()
    clock.now += 2.0
    later = cadence.steps_left(250)

    assert (quick, slow, over, again, later) == (100, 5, 0, 30, 20)


@pytest.mark.parametrize("row", [10, 11])
@pytest.mark.parametrize("after_s", [0.0, 60.0])
def test_there_is_at_least_one_step_between_two_reads_of_the_clock(
    row: int, after_s: float
) -> None:
    clock = Clock()
    cadence = Cadence(100.0, clock=clock)
    cadence.start(10)
    cadence.begin_period()
    clock.now += after_s

    assert cadence.steps_left(row) == 1


def test_the_loop_sends_once_in_a_period_and_the_thread_when_the_loop_is_absent() -> None:
    clock = Clock()
    cadence = Cadence(1.0, clock=clock)
    absent = cadence.until_absent_s()

    cadence.polled()
    first = cadence.may_send
    cadence.sent()
    cadence.polled()
    at_once, late_at_once = cadence.may_send, cadence.answer_is_late
    clock.now += ANSWER_S
    cadence.polled()
    late = cadence.answer_is_late
    clock.now += 1.0
    not_polled = cadence.may_send
    cadence.polled()

    assert (absent, first, at_once, late_at_once, late) == (0.0, True, False, False, True)
    assert (not_polled, cadence.may_send) == (False, True)
    assert cadence.until_absent_s() == ABSENT_S


# ------------------------------------------------------------------ the loop

TRAINING = {"steps": 2000, "device": "cpu", "evaluate_every": None, "checkpoint_every": None}


class NotingCadence(Cadence):
    """A cadence that notes when the loop polls."""

    def __init__(self) -> None:
        super().__init__()
        self.polls = list[float]()

    def polled(self) -> None:
        """Note it."""
        self.polls.append(time.monotonic())
        super().polled()


def followed(
    client: redis.Redis,
    root: Path,
    leaving: threading.Event,
    train: Train = loop.train,
    changes: Mapping[str, object] | None = None,
) -> tuple[Run, list[float]]:
    """Return a run as far as it was trained, and when the loop polled."""
    training = {**TRAINING, **(changes or {})}
    submit(client, training=training)
    held, cadence = begin(client), NotingCadence()
    run = Run.start(JobSpec.parse({**SPEC, "training": training}).run_spec(), data_dir=root)
    with (
        session_of(
            client, held, run, root, leaving=leaving, train=train, cadence=cadence
        ) as session,
        contextlib.suppress(Stop),
    ):
        train_session(session, client)
    return run, cadence.polls


@pytest.mark.parametrize("changes", [{}, {"steps": 300, "accumulate": 8}])
def test_a_loop_of_short_steps_polls_once_in_a_period(
    client: redis.Redis, tmp_path: Path, changes: dict[str, int]
) -> None:
    run, polls = followed(client, tmp_path, threading.Event(), changes=changes)

    *between, _ = (after - before for before, after in pairwise(polls))  # but the last evaluation
    assert run.finished
    assert between
    assert min(between) >= POLL_S


def test_a_loop_whose_steps_become_long_still_polls_soon(
    client: redis.Redis, tmp_path: Path
) -> None:
    """They become a hundred times as long: at the speed before, 1000 fit into a period."""
    leaving, quick, long_s = threading.Event(), 1000, 0.02

    def slowed(run: Run) -> Iterator[Report]:
        for report in loop.train(run):
            yield report
            if run.row >= quick:
                leaving.set()
                time.sleep(long_s)

    run, _ = followed(client, tmp_path, leaving, slowed)

    assert quick <= run.row <= quick + 400


def test_checkpoints_are_made_when_due_however_rarely_the_loop_polls(
    client: redis.Redis, tmp_path: Path
) -> None:
    training = {"steps": 100, "device": "cpu", "checkpoint_every": 7, "evaluate_every": 40}
    job_id = submit(client, training=training)
    record = claim(client, "t")
    assert record is not None
    storage, leaving = storage_of(client, tmp_path), threading.Event()
    tools = Tools(client, storage, Settings(home=tmp_path), "cpu", leaving, poll_s=3600.0)

    outcome = Attempt(Claim("local", job_id, "t"), record, tools).train()

    steps = [e["data"]["step"] for e in history(client, job_id) if e["kind"] == "checkpointed"]
    assert outcome == "succeeded"
    assert steps == [*range(7, 100, 7), 100]
