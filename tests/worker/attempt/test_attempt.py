"""An attempt that goes wrong: what is logged of it, and what is nobody's business any more."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from optcore.training import loop
from optcore.training.reports import Report
from optcore.training.run import Run
from store.jobs import calls
from store.jobs.calls import Claim
from store.redis.functions import Fenced, send
from store.settings import Settings
from tests.support.store.protocol import claim, record_of, storage_of, submit
from worker.attempt import attempt
from worker.attempt.attempt import Attempt, Tools


@pytest.fixture
def held(client: redis.Redis) -> Claim:
    """A job that was claimed."""
    job_id = submit(client)
    assert claim(client, "t") is not None
    return Claim("local", job_id, "t")


def attempt_at(held: Claim, client: redis.Redis, home: Path) -> Attempt:
    tools = Tools(client, storage_of(client, home), Settings(home=home), "cpu", threading.Event())
    return Attempt(held, tools)


def failing(after: Callable[[], object]) -> Callable[[Run], Iterator[Report]]:
    """Return a training that goes wrong after its first step, and after what is done then."""

    def train(run: Run) -> Iterator[Report]:
        yield next(loop.train(run))
        after()
        raise ArithmeticError("two and two are five")

    return train


def test_an_attempt_that_has_lost_its_job_says_nothing_of_how_it_went_wrong(
    held: Claim,
    client: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It may well go wrong for that: another attempt has swept its files."""

    def lose() -> None:
        send(client, calls.release(held, why="the worker went away", cause="crashed"))

    monkeypatch.setattr(attempt, "train", failing(lose))

    with pytest.raises(Fenced):
        attempt_at(held, client, tmp_path).train()

    assert [entry for entry in caplog.records if entry.levelno >= logging.WARNING] == []
    assert record_of(client, held.job_id).state == "queued"


def test_an_attempt_that_goes_wrong_logs_where(
    held: Claim,
    client: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(attempt, "train", failing(lambda: None))

    assert attempt_at(held, client, tmp_path).train() == "failed: error"

    (entry,) = [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert entry.exc_info is not None
    assert isinstance(entry.exc_info[1], ArithmeticError)
