"""Requests of clients: a new job, and changes of one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from store.jobs.calls.replies import as_record, text, texts
from store.jobs.record import Record
from store.redis.functions import Call


@dataclass(frozen=True)
class Submitted:
    """
    What became of a submission.

    Attributes:
        outcome: created; replayed (the key and body were seen before); conflict (the key was
            seen with another body).
        record: of the job that was made, or that the key belongs to.
        wakeups: devices whose idle workers should be woken for it.
    """

    outcome: Literal["created", "replayed", "conflict"]
    record: Record
    wakeups: list[str]


@dataclass(frozen=True)
class Asked:
    """
    A job after its client asked for something.

    Attributes:
        record: None if there is no such job.
        wakeups: devices whose idle workers should be woken for it.
    """

    record: Record | None
    wakeups: list[str]


@dataclass(frozen=True)
class Changed:
    """
    A job after its client asked for it to continue in another way.

    Attributes:
        outcome: ok; or why nothing was changed: there is no such job, a worker has it, it has
            ended.
        record: None if there is no such job.
        wakeups: devices whose idle workers should be woken for it.
    """

    outcome: Literal["ok", "missing", "running", "ended"]
    record: Record | None
    wakeups: list[str]


def submit(
    tenant: str, job_id: str, fields: Mapping[str, str], *, idempotency_key: str, body_sha: str
) -> Call[Submitted]:
    """
    Put a new job into the queue.

    Args:
        tenant: whose job.
        job_id: new, and unique.
        fields: of the record: name, labels, spec, device, priority, ...
        idempotency_key: the client's, or empty.
        body_sha: tells whether the same key comes with the same body.
    """
    key = _hashed(idempotency_key) if idempotency_key else ""
    flat = [part for pair in fields.items() for part in pair]
    return Call("submit", [tenant, job_id, key, body_sha, *flat], _submitted)


# Asked before a clone looks for its parent: of a request whose answer was lost, the parent may be
# gone when it is sent again.
def recall(tenant: str, *, idempotency_key: str, body_sha: str) -> Call[Submitted | None]:
    """Return what became of an earlier submission with this key, or None if there was none."""

    def read(reply: list[Any]) -> Submitted | None:
        return None if text(reply[0]) == "none" else _submitted(reply)

    args = [tenant, _hashed(idempotency_key), body_sha]
    return Call("recall", args, read, reads_only=True)


def ask(
    tenant: str, job_id: str, action: Literal["cancel", "kill", "pause", "resume"]
) -> Call[Asked]:
    """Ask for *action*: a running job's worker hears of it, another job is moved at once."""
    args = [tenant, job_id, action]
    return Call("ask", args, lambda reply: Asked(as_record(reply[1]), texts(reply[0])))


def restart(tenant: str, job_id: str) -> Call[Changed]:
    """
    Let a waiting job begin again: rows, checkpoints and fingerprint are forgotten.

    One that has nothing to forget is left as it is.
    """
    return Call("restart", [tenant, job_id], _changed)


def accept(tenant: str, job_id: str) -> Call[Changed]:
    """
    Let a waiting job continue from its checkpoint where bits come out differently.

    Rows after the checkpoint are truncated. A job that any worker may take is left as it is.
    """
    return Call("accept", [tenant, job_id], _changed)


def _hashed(key: str) -> str:
    # Clients may choose any text of 255 characters; the hash is a short part of a key's name.
    return hashlib.sha256(key.encode()).hexdigest()


def _submitted(reply: list[Any]) -> Submitted:
    record = as_record(reply[2])
    assert record is not None
    # The server answers with one of the outcomes that the type lists.
    return Submitted(text(reply[0]), record, texts(reply[1]))  # type: ignore[arg-type]


def _changed(reply: list[Any]) -> Changed:
    # It is one of these outcomes, too.
    return Changed(text(reply[0]), as_record(reply[2]), texts(reply[1]))  # type: ignore[arg-type]
