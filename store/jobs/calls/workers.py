"""Calls that workers make: they claim a job, renew its lease, and end or release the job."""

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
"""Why a worker releases a job; see `release`."""


@dataclass(frozen=True)
class Claim:
    """
    A worker's claim on a job. The store accepts an attempt's writes only with the claim's token.

    Attributes:
        tenant: the job's tenant.
        job_id: the job's id.
        token: a random text that only this attempt knows.
    """

    tenant: str
    job_id: str
    # Not the number of the attempt: a Redis server that was restored from a snapshot may issue the
    # same number twice, and could not distinguish the writes of the two attempts.
    token: str

    @property
    def args(self) -> tuple[str, str, str]:
        """The arguments that every write of the attempt begins with."""
        return (self.tenant, self.job_id, self.token)


@dataclass(frozen=True)
class Released:
    """
    The result of `release`.

    Attributes:
        state: the job's state afterwards; ``already`` if the job was released before.
        wakeups: the devices whose idle workers should be woken for the job.
    """

    state: str
    wakeups: list[str]


def hello(worker: str, *, ttl_ms: int, claim: Claim | None, **fields: str | int) -> Call[None]:
    """
    Send a worker's heartbeat.

    Args:
        worker: the worker's id.
        ttl_ms: milliseconds without another heartbeat after which the worker counts as gone.
        claim: the claim on the job that the worker is training; None if it trains none. The claim
            restores the worker's record if Redis has lost the record.
        fields: further fields of the worker's record: ``device``, ``fingerprint``, ``host``,
            ``pid``, and ``unwell`` (why the worker's machine cannot train, or empty).
    """
    job = json.dumps([claim.tenant, claim.job_id]) if claim else ""
    flat = [part for pair in fields.items() for part in pair]
    args = [worker, ttl_ms, job, claim.token if claim else "", *flat]
    return Call("hello", args, lambda reply: None)


def bye(worker: str) -> Call[None]:
    """Remove the record of *worker*, which is stopping."""
    return Call("bye", [worker], lambda reply: None)


def claim(
    worker: str, *, device: str, fingerprint: str, token: str, lease_ms: int
) -> Call[Record | None]:
    """
    Claim the next runnable job; the call returns its record, or None if no job is runnable.

    Args:
        worker: the id of the worker.
        device: the worker's device. A job is runnable if it requests this device or any device.
        fingerprint: the digest of the worker's hardware and library versions. A job that is bound
            to a fingerprint is runnable only if it is bound to this one.
        token: a new random text; the writes of this attempt must contain it.
        lease_ms: milliseconds until the lease on the job expires.
    """
    # The caller creates the token, so that a claim which is repeated after a lost reply finds the
    # job that was already claimed, instead of a second one.
    return Call("claim", [worker, device, fingerprint, token, lease_ms], as_record)


def begun(claim: Claim, *, fingerprint: str, facts: Mapping[str, str]) -> Call[int | None]:
    """
    Record the hardware and library versions with which this attempt computes the job.

    The call returns the number of the first row that was, or will be, computed with *fingerprint*.
    Rows before that row, and a checkpoint at that row, were computed with another fingerprint.

    If the job's last rows were computed with another fingerprint, the field ``training.exact`` of
    the job's spec decides. If the field is false, the rows after the last checkpoint are truncated,
    and are computed again with *fingerprint*. If the field is true, the call changes nothing and
    returns None: only a worker with that other fingerprint may continue the job.

    Args:
        claim: the claim that this attempt has on the job.
        fingerprint: the digest of the hardware and library versions; with equal fingerprints,
            results are equal bit for bit.
        facts: the facts that determine results bit for bit: those in the fingerprint, and those
            that a later attempt must set up, such as the number of threads.
    """
    args = [*claim.args, fingerprint, json.dumps(facts)]

    def read(reply: list[Any]) -> int | None:
        # Before `checked`, for which differs means a row that was computed again.
        if text(reply[0]) == "differs":
            return None
        return int(checked(reply)[1])

    return Call("begun", args, read)


def renew(claim: Claim, *, lease_ms: int) -> Call[str]:
    """
    Extend the lease on the job to *lease_ms* milliseconds from now.

    The call returns the action requested for the job (pause, cancel, kill or timeout), or ''.
    """
    return Call("renew", [*claim.args, lease_ms], lambda reply: text(checked(reply)[1]))


def wanted(claim: Claim) -> Call[str]:
    """Return the action requested for the job, or '', as `renew` does; the lease stays as it is."""
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
    End the job as succeeded, once all its rows are stored and its files are written.

    Args:
        claim: the claim that this attempt has on the job.
        rows: the number of rows of the run; must equal the number that are stored.
        digest: the digest of all tensors of the run.
        result: the metrics of the last evaluation.
        artifacts: artifact name -> path, sha256 and size.
        ended: ``completed``, or ``early_stopped`` if the run stopped by itself before its last
            step.
    """
    args = [*claim.args, rows, digest, json_text(result), json_text(artifacts), ended]
    return Call("finish", args, accepted)


def fail(claim: Claim, *, reason: str, detail: str) -> Call[None]:
    """End the job as failed, for *reason*; *detail* describes the failure."""
    args = [*claim.args, reason, detail]
    return Call("fail", args, accepted)


def release(claim: Claim, *, why: str, cause: Cause = "left") -> Call[Released]:
    """
    Give the job back before its run is complete.

    The first of these cases that applies determines the job's new state:

    - The client has requested a cancel or a kill: the job is cancelled.
    - The client has requested a pause: the job is paused.
    - The job's time limit is reached: the job fails.
    - `MAX_CRASHES` attempts in a row have crashed without a new checkpoint: the job fails.
    - None of these: the job returns to the queue.

    Args:
        claim: the claim that this attempt has on the job.
        why: the reason, for the job's history.
        cause: ``left``, ``crashed`` or ``fault``. With ``left``, the worker is stopping, or the
            client requested an action. With ``crashed``, the trainer process died, which counts
            towards `MAX_CRASHES`. With ``fault``, the machine cannot train the job: after the first
            fault another worker may claim the job at once, and after each further fault the job
            first waits for a time that doubles, up to a minute.
    """

    def read(reply: list[bytes]) -> Released:
        state, *wakeups = texts(checked(reply))
        return Released(state, wakeups)

    return Call("release", [*claim.args, why, cause], read)
