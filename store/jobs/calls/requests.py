"""Calls that carry out the requests of clients: submit a job, or change a job."""

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
    The result of a submission.

    Attributes:
        outcome: ``created``; ``replayed`` (the same Idempotency-Key was used before, with the same
            body); or ``conflict`` (the key was used with another body).
        record: the record of the new job, or of the job that the key belongs to.
        wakeups: the devices whose idle workers should be woken for the job.
    """

    outcome: Literal["created", "replayed", "conflict"]
    record: Record
    wakeups: list[str]


@dataclass(frozen=True)
class Asked:
    """
    The result of `ask`.

    Attributes:
        record: the record of the job afterwards; None if there is no such job.
        wakeups: the devices whose idle workers should be woken for the job.
    """

    record: Record | None
    wakeups: list[str]


@dataclass(frozen=True)
class Changed:
    """
    The result of `restart` or `accept`.

    Attributes:
        outcome: ``ok``; or why nothing was changed: ``missing`` (there is no such job),
            ``running`` (a worker is training it) or ``ended``.
        record: the record of the job afterwards; None if there is no such job.
        wakeups: the devices whose idle workers should be woken for the job.
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
        tenant: the tenant that the job belongs to.
        job_id: a new, unique id for the job.
        fields: the fields of the job's record: name, labels, spec, device, priority, and others.
        idempotency_key: the client's Idempotency-Key, or empty.
        body_sha: the SHA-256 of the request's body. It shows whether two requests with the same
            Idempotency-Key are equal.
    """
    key = _hashed(idempotency_key) if idempotency_key else ""
    flat = [part for pair in fields.items() for part in pair]
    return Call("submit", [tenant, job_id, key, body_sha, *flat], _submitted)


# Sent before the parent of a clone is read: when a client repeats a request whose response was
# lost, the parent may be gone.
def recall(tenant: str, *, idempotency_key: str, body_sha: str) -> Call[Submitted | None]:
    """Return the result of the submission with this Idempotency-Key; None if there was none."""

    def read(reply: list[Any]) -> Submitted | None:
        return None if text(reply[0]) == "none" else _submitted(reply)

    args = [tenant, _hashed(idempotency_key), body_sha]
    return Call("recall", args, read, reads_only=True)


def ask(
    tenant: str, job_id: str, action: Literal["cancel", "kill", "pause", "resume"]
) -> Call[Asked]:
    """
    Request *action* for a job: cancel, kill, pause or resume.

    A queued or paused job changes its state at once. A running job continues until its worker polls
    and finds the request. A job that has ended is left as it is.

    If several actions are requested for a running job, the strongest counts: kill before cancel,
    and cancel before pause. Until the worker finds a pause, ``resume`` withdraws the pause.
    """
    args = [tenant, job_id, action]
    return Call("ask", args, lambda reply: Asked(as_record(reply[1]), texts(reply[0])))


def restart(tenant: str, job_id: str) -> Call[Changed]:
    """
    Let a queued or paused job start over: its rows, checkpoints and fingerprint are removed.

    A job that has no rows and no checkpoints is left as it is.
    """
    return Call("restart", [tenant, job_id], _changed)


def accept(tenant: str, job_id: str) -> Call[Changed]:
    """
    Let a queued or paused job continue from its last checkpoint on a worker with any fingerprint.

    The job's further results may differ in the last bits from those that the previous hardware and
    libraries would give. The rows of metrics after the checkpoint are deleted. A job that is not
    bound to a fingerprint is left as it is.
    """
    return Call("accept", [tenant, job_id], _changed)


def _hashed(key: str) -> str:
    # Clients may choose any text of up to 255 characters; its hash makes a short key name.
    return hashlib.sha256(key.encode()).hexdigest()


def _submitted(reply: list[Any]) -> Submitted:
    record = as_record(reply[2])
    assert record is not None
    # The server replies with one of the outcomes that the type lists.
    return Submitted(text(reply[0]), record, texts(reply[1]))  # type: ignore[arg-type]


def _changed(reply: list[Any]) -> Changed:
    # The server replies with one of the outcomes that this type lists.
    return Changed(text(reply[0]), as_record(reply[2]), texts(reply[1]))  # type: ignore[arg-type]
