"""Rows, evaluations and planned lrs, reported to a real server."""

import os
import signal
import threading
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from optcore.schedules.make import make_schedule
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from optserve.contract.requests.job import JobSpec
from optserve.local.embedded import EmbeddedServer
from store.jobs.calls import Claim
from store.jobs.record import Record
from store.jobs.series import PLAIN, Row
from store.redis import keys
from tests.support.store.protocol import history, record_of, rows_of
from tests.support.worker.reporting import LEASE_MS, SPEC, claimed, stopped
from worker.reporting.planned import LrPlan
from worker.reporting.reporter import Reporter
from worker.reporting.retry import RetryingSender

BOUND_BYTES = 2**17


@pytest.fixture
def spec() -> JobSpec:
    return JobSpec.parse(SPEC)


@pytest.fixture
def claim(client: redis.Redis, spec: JobSpec) -> Claim:
    return claimed(client, spec)


def planned(spec: JobSpec) -> list[float]:
    schedule = make_schedule(
        spec.schedule,
        lr=spec.optimizer.lr,
        total_steps=spec.total_steps,
        steps_per_epoch=spec.steps_per_epoch,
    )
    return [float(schedule(t)) for t in range(spec.total_steps)]


def report(client: redis.Redis, claim: Claim, spec: JobSpec, lrs: list[float]) -> Record:
    """Let a reporter write a row for each of *lrs*; return the record afterwards."""
    patience = RetryingSender(client, threading.Event())
    with Reporter(claim, patience, LrPlan(spec), first=0, lease_ms=LEASE_MS) as reporter:
        for step, lr in enumerate(lrs):
            reporter.take(StepReport(step, lr, 1.0))
        reporter.send_rows()
        reporter.flush()
    raw: Any = client.hgetall(keys.JOB % (claim.tenant, claim.job_id))
    return Record.from_hash(raw)


def added(reporter: Reporter, rows: list[Row], first: int = 0) -> int:
    """Report *rows* from *first* on until it is saturated; return the next one."""
    for step in range(first, len(rows)):
        if reporter.saturated:
            return step
        lr, loss = rows[step]
        reporter.take(StepReport(step, lr, loss))
        reporter.send_rows()
    return len(rows)


def test_unstored_rows_are_bounded_and_none_is_lost(
    server: EmbeddedServer, client: redis.Redis, claim: Claim, spec: JobSpec
) -> None:
    store = redis.from_url(server.url, socket_timeout=0.2, retry=Retry(NoBackoff(), 0))
    patience = RetryingSender(store, threading.Event())
    rows: list[Row] = [(0.5, float(step)) for step in range(40_000)]
    reporter = Reporter(
        claim, patience, LrPlan(spec), first=0, lease_ms=LEASE_MS, most_bytes=BOUND_BYTES
    )
    with reporter:
        process = stopped(client)
        taken = added(reporter, rows)
        waited = [reporter.wait_for_space() for _ in range(10)]
        os.kill(process, signal.SIGCONT)

        end = taken
        while end < len(rows):
            end = added(reporter, rows, end) if reporter.wait_for_space() else end
        reporter.flush()

    record = record_of(client, claim.job_id)
    assert taken * PLAIN.width == BOUND_BYTES
    assert waited == [False] * 10
    assert rows_of(client, claim.job_id) == rows
    assert record.job().stalled_s == pytest.approx(reporter.stalled_s, abs=0.002)
    assert reporter.stalled_s >= 0.5


def test_a_job_whose_lrs_are_as_planned_is_not_marked(
    client: redis.Redis, claim: Claim, spec: JobSpec
) -> None:
    record = report(client, claim, spec, planned(spec))

    assert record.rows == 40
    assert record.job().lr_off_plan_at is None


def test_an_lr_that_differs_in_its_last_bit_marks_the_job_once(
    client: redis.Redis, claim: Claim, spec: JobSpec
) -> None:
    lrs = planned(spec)
    right = lrs[17]
    lrs[17] = float.fromhex(right.hex()) * (1 + 2**-52)
    lrs[30] = 0.5

    record = report(client, claim, spec, lrs)

    entries = history(client, claim.job_id)
    told = [entry["data"] for entry in entries if entry["kind"] == "lr_off_plan"]
    assert record.rows == 40  # what was applied is kept as it was
    assert record.job().lr_off_plan_at == 17
    assert told == [{"step": 17, "planned": right, "applied": lrs[17]}]


def test_a_missing_step_is_an_error(client: redis.Redis, claim: Claim, spec: JobSpec) -> None:
    """What follows would be stored one row too early."""
    patience = RetryingSender(client, threading.Event())
    with Reporter(claim, patience, LrPlan(spec), first=3, lease_ms=LEASE_MS) as reporter:
        reporter.take(StepReport(4, 0.1, 1.0))
        with pytest.raises(AssertionError):
            reporter.send_rows()


def test_rows_that_are_not_flushed_are_checked_against_the_plan(
    client: redis.Redis, claim: Claim, spec: JobSpec
) -> None:
    """A run that diverges leaves without waiting for its last rows."""
    with Reporter(
        claim, RetryingSender(client, threading.Event()), LrPlan(spec), first=0, lease_ms=LEASE_MS
    ) as reporter:
        reporter.take(StepReport(0, 0.123, 1.0))

    assert record_of(client, claim.job_id).job().lr_off_plan_at == 0


class Job(NamedTuple):
    """What a run left in the store."""

    off_plan_at: int | None
    told: list[dict[str, Any]]
    lrs: list[float]


def trained(client: redis.Redis, changes: dict[str, Any], spoil: int | None = None) -> Job:
    """Return the job of SPEC with *changes* after a real run; group *spoil* gets another lr."""
    spec = JobSpec.parse({**SPEC, **changes})
    claim = claimed(client, spec)
    run = Run.start(spec, data_dir=Path("/nonexistent"))
    patience = RetryingSender(client, threading.Event())
    with Reporter(claim, patience, LrPlan(spec), first=0, lease_ms=LEASE_MS) as reporter:
        for step_report in train(run):
            if isinstance(step_report, StepReport):
                lrs = list(step_report.lrs)
                if spoil is not None and step_report.step == 5:
                    lrs[spoil] *= 1 + 2**-52
                reporter.take(step_report._replace(lrs=tuple(lrs)))
        reporter.flush()
    raw: Any = client.hgetall(keys.JOB % (claim.tenant, claim.job_id))
    entries = history(client, claim.job_id)
    told = [entry["data"] for entry in entries if entry["kind"] == "lr_off_plan"]
    rows: Any = client.get(keys.ROWS % (claim.tenant, claim.job_id, 0))
    return Job(
        Record.from_hash(raw).job().lr_off_plan_at, told, [row[0] for row in PLAIN.unpack(rows)]
    )


VALUES: dict[str, Any] = {"kind": "values", "values": [0.5, 0.4, 0.3] + [0.2] * 37}
HALVES: list[dict[str, Any]] = [
    {"match": "*bias", "lr_scale": 0.3},
    {"match": "*weight", "lr": 0.9, "schedule": {"kind": "linear"}},
]


@pytest.mark.parametrize(
    ("optimizer", "first_lr"),
    [
        ({"kind": "sgd", "lr": 0.1, "groups": [{"match": "*", "schedule": VALUES}]}, 0.5),
        ({"kind": "sgd", "lr": 0.1, "groups": [{"match": "*", "lr": 0.9}]}, 0.9),
        ({"kind": "sgd", "lr": 0.1, "groups": HALVES}, 0.1 * 0.3),
        ({"kind": "sgd", "lr": 0.1, "groups": HALVES[:1]}, 0.1),
    ],
)
def test_the_series_has_the_lr_that_was_applied(
    client: redis.Redis, optimizer: dict[str, Any], first_lr: float
) -> None:
    job = trained(client, {"optimizer": optimizer, "schedule": {"kind": "constant"}})

    assert job.lrs[0] == first_lr
    assert job.off_plan_at is None


@pytest.mark.parametrize(("spoil", "match"), [(0, "*bias"), (1, "*weight")])
def test_every_group_is_checked_against_its_own_plan(
    client: redis.Redis, spoil: int, match: str
) -> None:
    job = trained(client, {"optimizer": {"kind": "sgd", "lr": 0.1, "groups": HALVES}}, spoil)

    assert job.off_plan_at == 5
    assert [(event["step"], event["group"]) for event in job.told] == [(5, match)]
