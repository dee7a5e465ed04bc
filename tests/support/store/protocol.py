"""The protocol as tests speak it: a client that submits and asks, a worker that writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import redis

from optserve.contract.requests.job import JobSpec
from optserve.contract.states import State
from store.jobs import calls
from store.jobs.calls import Claim, Reaped
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.jobs.record import Record
from store.jobs.series import PLAIN, Row, Series, unpack_marks
from store.redis import keys
from store.redis.functions import send
from store.storage.storage import Storage
from store.storage.usable import require_usable

SPEC: dict[str, Any] = {
    "model": {"kind": "mlp"},
    "dataset": {"kind": "digits"},
    "optimizer": {"kind": "adam"},
    "training": {"steps": 10, "device": "cpu"},
}
LEASE_MS = 600_000
"""Longer than any test: a worker that a test plays renews nothing."""


def submit(
    client: redis.Redis,
    *,
    tenant: str = "local",
    key: str = "",
    body: str = "sha",
    **changes: object,
) -> str:
    spec = JobSpec.parse({**SPEC, **changes})
    job_id = new_id()
    call = calls.submit(tenant, job_id, new_fields(spec), idempotency_key=key, body_sha=body)
    return send(client, call).record.id


def hello(
    client: redis.Redis,
    worker: str = "w1",
    *,
    ttl_ms: int = LEASE_MS,
    held: Claim | None = None,
    fingerprint: str = "f1",
) -> None:
    call = calls.hello(
        worker,
        ttl_ms=ttl_ms,
        claim=held,
        device="cpu",
        fingerprint=fingerprint,
        host="here",
        pid=1,
    )
    send(client, call)


def claim(
    client: redis.Redis,
    token: str = "t1",
    *,
    worker: str = "w1",
    fingerprint: str = "f1",
    lease_ms: int = LEASE_MS,
) -> Record | None:
    hello(client, worker, fingerprint=fingerprint)
    call = calls.claim(
        worker, device="cpu", fingerprint=fingerprint, token=token, lease_ms=lease_ms
    )
    return send(client, call)


def begin(
    client: redis.Redis,
    token: str = "t1",
    *,
    worker: str = "w1",
    fingerprint: str = "f1",
    lease_ms: int = LEASE_MS,
) -> Claim:
    record = claim(client, token, worker=worker, fingerprint=fingerprint, lease_ms=lease_ms)
    assert record is not None
    held = Claim(record.tenant, record.id, token)
    send(client, calls.begun(held, fingerprint=fingerprint, facts={"threads": "2"}))
    return held


def reap(client: redis.Redis, *, limit: int = 10, overtime_ms: int = 600_000) -> Reaped:
    return send(client, calls.reap(limit=limit, lease_ms=0, overtime_ms=overtime_ms))


def record_of(client: redis.Redis, job_id: str, tenant: str = "local") -> Record:
    return Record.from_hash(client.hgetall(keys.JOB % (tenant, job_id)))  # type: ignore[arg-type]


def state_of(client: redis.Redis, job_id: str) -> State:
    return record_of(client, job_id).state


def kinds(client: redis.Redis, job_id: str) -> list[str]:
    return [entry["kind"] for entry in history(client, job_id)]


def history(client: redis.Redis, job_id: str, tenant: str = "local") -> list[dict[str, Any]]:
    """Return the entries of a job's history, oldest first: at, kind, data."""
    entries: Any = client.lrange(keys.EVENTS % (tenant, job_id), 0, -1)
    return [json.loads(entry) for entry in entries]


def rows_of(client: redis.Redis, job_id: str, tenant: str = "local") -> list[Row]:
    record = record_of(client, job_id, tenant)
    count, series = record.rows, record.series
    data = b"".join(
        client.getrange(keys.ROWS % (tenant, job_id, chunk), start, stop)  # type: ignore[misc]
        for chunk, start, stop in series.stretches(0, count)
    )
    return list(series.unpack(data))


def marks_of(client: redis.Redis, job_id: str, tenant: str = "local") -> list[tuple[int, float]]:
    data: Any = client.get(keys.MARKS % (tenant, job_id))
    rows, seconds = unpack_marks(data or b"")
    return list(zip(rows.tolist(), seconds.tolist(), strict=True))


def append(
    client: redis.Redis,
    held: Claim,
    first: int,
    rows: Sequence[Row],
    series: Series = PLAIN,
    *,
    stalled_ms: int = 0,
) -> str:
    call = calls.append(
        held,
        first=first,
        width=series.width,
        data=series.pack(rows),
        lease_ms=LEASE_MS,
        stalled_ms=stalled_ms,
    )
    return send(client, call)


def run_out(client: redis.Redis, job_id: str, tenant: str = "local") -> None:
    """Let the time of a running job be over since a second."""
    seconds, _ = client.time()
    client.zadd(keys.DEADLINES, {f"{tenant}/{job_id}": 1000 * (seconds - 1)}, xx=True)


def trained_for(client: redis.Redis, job_id: str, seconds: float) -> None:
    """Let the worker of a running job have it since so many seconds."""
    at, micro = client.time()
    client.hset(keys.JOB % ("local", job_id), "claimed", int(1000 * (at - seconds) + micro / 1000))


def release(client: redis.Redis, held: Claim) -> str:
    return send(client, calls.release(held, why="test")).state


def some_rows(first: int, count: int) -> list[Row]:
    return [(0.1 * i, 1 / (i + 1)) for i in range(first, first + count)]


Action = Literal["cancel", "kill", "pause", "resume"]


def ask(client: redis.Redis, job_id: str, action: Action) -> State | None:
    record = send(client, calls.ask("local", job_id, action)).record
    return record.state if record else None


def storage_of(client: redis.Redis, root: Path) -> Storage:
    """Return the storage at *root* as a worker uses it: it bears the name of its store."""
    storage = Storage(root)
    require_usable(client, storage)
    return storage


def checkpoint(client: redis.Redis, held: Claim, step: int) -> list[str]:
    call = calls.checkpointed(held, step=step, path=f"step-{step}", sha256="s", digest="d")
    return send(client, call)


def reaped_wakeups(client: redis.Redis) -> list[str]:
    return reap(client).wakeups


def make_older(client: redis.Redis, job_id: str, by_ms: int) -> None:
    client.hincrby(keys.JOB % ("local", job_id), "queued", -by_ms)
