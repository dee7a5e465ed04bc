"""Workers and the jobs they have: they claim one, renew its lease, end it or release it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from optserve.contract.states import Outcome
from store.jobs.calls.replies import accepted, as_record, checked, json_text, text, texts
from store.jobs.record import Record
from store.redis.functions import Call

Cause = Literal["left", "crashed", "fault"]
"""Why a worker gives a job back."""


@dataclass(frozen=True)
class Claim:
    """
    A worker's claim on a job; its token guards every write of the attempt.

    Attributes:
        tenant: the job's.
        job_id: the job's.
        token: random, known to this attempt alone.
    """

    tenant: str
    job_id: str
    # Not the number of the attempt: a store that was restored from a snapshot may hand out the same
    # number twice, and could not tell the writes of one attempt from those of the other.
    token: str

    @property
    def args(self) -> tuple[str, str, str]:
        """The first arguments of every write."""
        return (self.tenant, self.job_id, self.token)


@dataclass(frozen=True)
class Released:
    """
    A job after its worker gave it back.

    Attributes:
        state: the job's; or ``already``: it was given back before.
        wakeups: devices whose idle workers should be woken for it.
    """

    state: str
    wakeups: list[str]


def hello(worker: str, *, ttl_ms: int, claim: Claim | None, **fields: str | int) -> Call[None]:
    """
    Say that *worker* is alive, and will be for *ttl_ms*.

    Args:
        worker: its id.
        ttl_ms: after so many milliseconds of silence it counts as gone.
        claim: the job it has, in case its record was lost meanwhile.
        fields: device, fingerprint, host, pid; unwell: why its machine is not fit to train on, or
            empty.
    """
    job = json.dumps([claim.tenant, claim.job_id]) if claim else ""
    flat = [part for pair in fields.items() for part in pair]
    args = [worker, ttl_ms, job, claim.token if claim else "", *flat]
    return Call("hello", args, lambda reply: None)


def bye(worker: str) -> Call[None]:
    """Say that *worker* leaves."""
    return Call("bye", [worker], lambda reply: None)


def claim(
    worker: str, *, device: str, fingerprint: str, token: str, lease_ms: int
) -> Call[Record | None]:
    """
    Take the next runnable job, if there is one.

    Args:
        worker: id of the worker.
        device: jobs for it, or for any, are runnable.
        fingerprint: jobs that were begun where bits come out the same are runnable too.
        token: random; proves from now on that the job is this attempt's.
        lease_ms: how long the lease on the job lasts without a renewal.
    """
    # The token comes from the caller, so that a claim which is repeated after a lost answer finds
    # the job that it has already been given, in place of a second one.
    return Call("claim", [worker, device, fingerprint, token, lease_ms], as_record)


def begun(claim: Claim, *, fingerprint: str, facts: Mapping[str, str]) -> Call[int | None]:
    """
    Say on what the job is computed.

    The call returns the row since which the job's bits are those of *fingerprint*: a checkpoint
    made before or there is of other bits. It returns None if only a worker with another
    fingerprint may continue. Where any worker may (the run is not exact), rows of another one that
    come after the last checkpoint are truncated.

    Args:
        claim: of this attempt.
        fingerprint: equal where bits are equal.
        facts: what it stands for, and what a later attempt must set up to be equal.
    """
    args = [*claim.args, fingerprint, json.dumps(facts)]

    def read(reply: list[Any]) -> int | None:
        # Before `checked`, for which differs means a row that was computed again.
        if text(reply[0]) == "differs":
            return None
        return int(checked(reply)[1])

    return Call("begun", args, read)


def renew(claim: Claim, *, lease_ms: int) -> Call[str]:
    """Keep the job for *lease_ms* more; the call returns what is to be done with it, or ''."""
    return Call("renew", [*claim.args, lease_ms], lambda reply: text(checked(reply)[1]))


def wanted(claim: Claim) -> Call[str]:
    """Return what is to be done with the job, or ''; the lease is not renewed."""
    args = claim.args
    return Call("wanted", args, lambda reply: text(checked(reply)[1]), reads_only=True)


def finish(
    claim: Claim,
    *,
    rows: int,
    digest: str,
    result: Mapping[str, Any],
    artifacts: Mapping[str, Any],
    ended: Outcome = "completed",
) -> Call[None]:
    """
    End the job: all its rows are stored and its files written.

    Args:
        claim: of this attempt.
        rows: how many there are; must be what the store has.
        digest: of every tensor of the run.
        result: what it came to on the held-out examples.
        artifacts: name -> path, sha256 and size.
        ended: early_stopped: by its own choice before its last step, so with fewer rows.
    """
    args = [*claim.args, rows, digest, json_text(result), json_text(artifacts), ended]
    return Call("finish", args, accepted)


def fail(claim: Claim, *, reason: str, detail: str) -> Call[None]:
    """End the job: it cannot be trained."""
    args = [*claim.args, reason, detail]
    return Call("fail", args, accepted)


def release(claim: Claim, *, why: str, cause: Cause = "left") -> Call[Released]:
    """
    Give the job back: to where its client wants it, else into the queue.

    Args:
        claim: of this attempt.
        why: for the history.
        cause: left: the worker leaves, or was asked to stop. crashed: its trainer died, which
            counts towards `MAX_CRASHES`. fault: something is wrong with its machine; the job goes
            to another worker at once, and waits for ever longer if that happens again.
    """

    def read(reply: list[bytes]) -> Released:
        state, *wakeups = texts(checked(reply))
        return Released(state, wakeups)

    return Call("release", [*claim.args, why, cause], read)
