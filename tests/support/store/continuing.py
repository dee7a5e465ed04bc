"""Jobs that stop and are continued: by a worker of the same bits, or of others."""

from collections.abc import Mapping
from typing import Any

import redis

from store.jobs import calls
from store.jobs.calls import Changed, Claim
from store.jobs.record import Record
from store.redis.functions import send
from tests.support.store.protocol import (
    SPEC,
    append,
    begin,
    checkpoint,
    claim,
    history,
    release,
    some_rows,
    submit,
)

INEXACT: dict[str, Any] = {"training": {**SPEC["training"], "exact": False}}


def left(
    client: redis.Redis, changes: Mapping[str, Any] | None = None, *, rows: int = 9, at: int = 6
) -> str:
    """Return a job in the queue, with rows of fingerprint f1 and a checkpoint before the last."""
    job_id = submit(client, **(changes or {}))
    held = begin(client, fingerprint="f1")
    append(client, held, 0, some_rows(0, rows))
    if at:
        checkpoint(client, held, at)
    release(client, held)
    send(client, calls.bye("w1"))
    return job_id


def restart(client: redis.Redis, job_id: str) -> Changed:
    return send(client, calls.restart("local", job_id))


def accept(client: redis.Redis, job_id: str) -> Changed:
    return send(client, calls.accept("local", job_id))


def begun(client: redis.Redis, held: Claim, fingerprint: str) -> int | None:
    return send(client, calls.begun(held, fingerprint=fingerprint, facts={"threads": "1"}))


def taken(client: redis.Redis, job_id: str, fingerprint: str, token: str = "t2") -> Claim:
    """Return the job, claimed by another worker that has not said what it computes on."""
    record = claim(client, token, worker="w2", fingerprint=fingerprint)
    assert record is not None
    assert record.id == job_id
    return Claim("local", job_id, token)


def told(client: redis.Redis, job_id: str, kind: str) -> list[dict[str, Any]]:
    return [entry["data"] for entry in history(client, job_id) if entry["kind"] == kind]


def view(client: redis.Redis, job_id: str) -> Record:
    record = send(client, calls.look("local", job_id))
    assert record is not None
    return record
