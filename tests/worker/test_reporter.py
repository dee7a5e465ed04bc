"""Rows on their way to a real server."""

import threading
from typing import Any

import pytest
import redis

from jobs import calls, keys
from jobs.calls import Held
from jobs.functions import send
from jobs.record import Record, new_fields, new_id
from jobs.spec.job import JobSpec
from optcore.schedules.make import make_schedule
from worker.patience import Patience
from worker.plan import Plan
from worker.reporter import Reporter

SPEC: dict[str, Any] = {
    "model": {"kind": "mlp"},
    "dataset": {"kind": "digits"},
    "optimizer": {"kind": "adam", "lr": 0.1},
    "schedule": {"kind": "cosine", "warmup": {"length": 3}},
    "training": {"steps": 40, "device": "cpu"},
}
LEASE_MS = 30_000


@pytest.fixture
def spec() -> JobSpec:
    return JobSpec.parse(SPEC)


@pytest.fixture
def held(client: redis.Redis, spec: JobSpec) -> Held:
    call = calls.submit("local", new_id(), new_fields(spec), idempotency_key="", body_sha="")
    send(client, call)
    claim = calls.claim("w", device="cpu", fingerprint="f", token="t", lease_ms=LEASE_MS)
    record = send(client, claim)
    assert record is not None
    return Held(record.tenant, record.id, "t")


def planned(spec: JobSpec) -> list[float]:
    schedule = make_schedule(
        spec.schedule,
        lr=spec.optimizer.lr,
        total_steps=spec.total_steps,
        steps_per_epoch=spec.steps_per_epoch,
    )
    return [float(schedule(t)) for t in range(spec.total_steps)]


def report(client: redis.Redis, held: Held, spec: JobSpec, lrs: list[float]) -> Record:
    """Let a reporter write a row for each of *lrs*; return the record afterwards."""
    patience = Patience(client, threading.Event())
    with Reporter(held, patience, Plan(spec), first=0, lease_ms=LEASE_MS) as reporter:
        for step, lr in enumerate(lrs):
            reporter.row(step, (lr, 1.0))
        reporter.flush()
    raw: Any = client.hgetall(keys.JOB % (held.tenant, held.job_id))
    return Record.from_hash(raw)


def test_lrs_as_planned_leave_no_mark(client: redis.Redis, held: Held, spec: JobSpec) -> None:
    record = report(client, held, spec, planned(spec))

    assert record.rows == 40
    assert record.job().lr_off_plan_at is None


def test_an_lr_that_differs_in_its_last_bit_marks_the_job_once(
    client: redis.Redis, held: Held, spec: JobSpec
) -> None:
    lrs = planned(spec)
    right = lrs[17]
    lrs[17] = float.fromhex(right.hex()) * (1 + 2**-52)
    lrs[30] = 0.5

    record = report(client, held, spec, lrs)

    events: Any = client.xrange(keys.EVENTS % (held.tenant, held.job_id))
    told = [fields[b"data"] for _, fields in events if fields[b"kind"] == b"lr_off_plan"]
    assert record.rows == 40  # what was applied is kept as it was
    assert record.job().lr_off_plan_at == 17
    assert [calls.json_text({"step": 17, "planned": right, "applied": lrs[17]}).encode()] == told
