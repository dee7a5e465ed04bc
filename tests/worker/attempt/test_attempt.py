"""An attempt that fails: what is logged, and what is not once the job is lost."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from optcore.spec.former.runs import is_former
from optcore.training import loop
from optcore.training.reports import Report
from optcore.training.run import Run
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.record import Record
from store.redis.functions import Fenced, send
from store.settings import Settings
from tests.support.store.protocol import claim, record_of, storage_of, submit
from worker.attempt.attempt import Attempt
from worker.attempt.session import Tools, Train


@pytest.fixture
def record(client: redis.Redis) -> Record:
    """The record of a job that was claimed."""
    submit(client)
    record = claim(client, "t")
    assert record is not None
    return record


def claim_on(record: Record) -> Claim:
    return Claim(record.tenant, record.id, "t")


def attempt_at(record: Record, client: redis.Redis, home: Path, train: Train) -> Attempt:
    storage, leaving = storage_of(client, home), threading.Event()
    tools = Tools(client, storage, Settings(home=home), "cpu", leaving, train)
    return Attempt(claim_on(record), record, tools)


def failing(after: Callable[[], object]) -> Callable[[Run], Iterator[Report]]:
    """Return a training that makes a step, calls *after*, and fails."""

    def train(run: Run) -> Iterator[Report]:
        yield next(loop.train(run))
        after()
        raise ArithmeticError("two and two are five")

    return train


def test_an_attempt_that_lost_its_job_reports_no_error(
    record: Record,
    client: redis.Redis,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It may have failed because the next attempt deleted its files."""

    def lose() -> None:
        claim = claim_on(record)
        send(client, calls.release(claim, why="the worker went away", cause="crashed"))

    with pytest.raises(Fenced):
        attempt_at(record, client, tmp_path, failing(lose)).train()

    assert [entry for entry in caplog.records if entry.levelno >= logging.WARNING] == []
    assert record_of(client, record.id).state == "queued"


def test_an_attempt_that_fails_logs_the_traceback(
    record: Record,
    client: redis.Redis,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert attempt_at(record, client, tmp_path, failing(lambda: None)).train() == "failed: error"

    (entry,) = [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert entry.exc_info is not None
    assert isinstance(entry.exc_info[1], ArithmeticError)


def test_an_attempt_whose_claim_is_over_writes_nothing(
    record: Record, client: redis.Redis, tmp_path: Path
) -> None:
    """It has the record from its worker and does not read it again; the token is what counts."""
    send(client, calls.release(claim_on(record), why="the worker went away", cause="crashed"))
    before = record_of(client, record.id)

    with pytest.raises(Fenced):
        attempt_at(record, client, tmp_path, loop.train).train()

    assert record_of(client, record.id) == before
    assert not list((tmp_path / "jobs").rglob("*"))


DROPPING = [
    {"kind": "flatten"},
    {"kind": "dropout"},
    {"kind": "linear", "out_features": 10},
]


@pytest.fixture
def dropping(client: redis.Redis) -> Record:
    """The record of a job with dropout that was claimed."""
    submit(client, model={"kind": "sequential", "layers": DROPPING})
    record = claim(client, "t")
    assert record is not None
    return record


def is_keyed(record: Record, client: redis.Redis, home: Path) -> bool:
    """Return whether the masks of the job of *record* are a function of its seed and step."""
    seen = []

    def train(run: Run) -> Iterator[Report]:
        seen.append(run.draws.keyed)
        return loop.train(run)

    attempt_at(record, client, home, train).train()
    (keyed,) = seen
    return keyed


@pytest.mark.parametrize(
    ("facts", "keyed"), [({}, True), ({"draws": "keyed"}, True), ({"engine": "fused"}, False)]
)
def test_a_job_without_a_checkpoint_draws_again_what_its_rows_were_computed_with(
    facts: dict[str, str],
    keyed: bool,
    dropping: Record,
    client: redis.Redis,
    tmp_path: Path,
) -> None:
    """A job that began before masks had keys has facts, but none of what it draws."""
    begun = Record({**dropping.fields, "facts": json.dumps(facts)})

    assert is_keyed(begun, client, tmp_path) == keyed


def test_a_job_that_0_2_0_accepted_draws_as_it_did(
    dropping: Record, client: redis.Redis, tmp_path: Path
) -> None:
    fields = {name: value for name, value in dropping.fields.items() if name != "plan"}

    assert not is_keyed(Record(fields), client, tmp_path)


def is_aligned(record: Record, client: redis.Redis, home: Path) -> bool:
    """Return whether updates of the job of *record* run over ranges that end on 128 bytes."""
    seen = []

    def train(run: Run) -> Iterator[Report]:
        seen.append(run.optimizer.aligned)
        return loop.train(run)

    attempt_at(record, client, home, train).train()
    (aligned,) = seen
    return aligned


@pytest.mark.parametrize(
    ("facts", "aligned"),
    [({}, True), ({"spans": "aligned"}, True), ({"draws": "keyed"}, False)],
)
def test_a_job_without_a_checkpoint_has_the_ranges_its_rows_were_computed_with(
    facts: dict[str, str],
    aligned: bool,
    dropping: Record,
    client: redis.Redis,
    tmp_path: Path,
) -> None:
    """A job that began before ranges ended on 128 bytes has facts, but none of its ranges."""
    begun = Record({**dropping.fields, "facts": json.dumps(facts)})

    assert is_aligned(begun, client, tmp_path) == aligned


def test_a_job_that_0_2_0_may_claim_has_the_ranges_of_0_2_0(
    record: Record, client: redis.Redis, tmp_path: Path
) -> None:
    assert is_former(record.spec)

    assert not is_aligned(record, client, tmp_path)


def test_a_finished_job_says_how_much_memory_it_took_beside_its_plan(
    record: Record, client: redis.Redis, tmp_path: Path
) -> None:
    assert attempt_at(record, client, tmp_path, loop.train).train() == "succeeded"

    result, plan = record_of(client, record.id).job().result, record.plan
    assert result is not None
    assert result.memory is not None
    assert plan is not None
    assert result.memory.planned == plan.memory_bytes > 0
    assert result.memory.measured is not None
    assert 0 <= result.memory.measured < 2 << 30
    assert result.memory.kind == "resident"
