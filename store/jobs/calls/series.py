"""Calls that store a run's results: rows, evaluations, checkpoints and notes for the history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from store.jobs.calls.replies import accepted, checked, json_text, text, texts
from store.jobs.calls.workers import Claim
from store.redis.functions import Call


def append(
    claim: Claim, *, first: int, width: int, data: bytes, lease_ms: int, stalled_ms: int = 0
) -> Call[str]:
    """
    Store rows from row *first* on, and extend the lease.

    The call returns the action requested for the job (pause, cancel, kill or timeout), or ''.

    If some of the rows are stored already, their computed columns must be equal: this verifies a
    resumed run. Their other columns, which are only observed, such as the speed, are overwritten.

    Args:
        claim: the claim that this attempt has on the job.
        first: the number of the first row in *data*; row i belongs to the i-th attempted update,
            counted from 0.
        width: the size of a row in bytes.
        data: whole rows, as `store.jobs.series.Series` packs them.
        lease_ms: milliseconds from now until the lease expires.
        stalled_ms: milliseconds for which this attempt has paused training so far, because too
            many of its rows were not stored yet.
    """
    args = [*claim.args, first, width, data, lease_ms, stalled_ms]
    return Call("append", args, lambda reply: text(checked(reply)[2]))


def evaluated(claim: Claim, *, step: int, data: Mapping[str, Any]) -> Call[None]:
    """Store the evaluation after *step* steps; if one is stored already, both must be equal."""
    # On replay the server compares the text: every attempt must write *data* in the same order, and
    # floats are written by `repr`, which differs for any two different floats.
    return Call("evaluated", [*claim.args, step, json_text(data)], accepted)


def checkpointed(
    claim: Claim, *, step: int, path: str, sha256: str, digest: str
) -> Call[list[str]]:
    """
    Point the record at a new checkpoint, from which the next attempt will continue.

    The call returns the paths of all files that are still needed.

    Args:
        claim: the claim that this attempt has on the job.
        step: the number of steps before the checkpoint. This is also the number of the next step,
            since steps are counted from 0.
        path: the path of the checkpoint, below the storage root.
        sha256: the SHA-256 of the checkpoint's ``state.json``.
        digest: the digest of all tensors of the run, for the history.
    """
    args = [*claim.args, step, path, sha256, digest]
    return Call("checkpointed", args, lambda reply: texts(checked(reply)[1:]))


def best_kept(
    claim: Claim, *, step: int, path: str, sha256: str, metric: str, value: float
) -> Call[list[str]]:
    """
    Point the record at the best state of the run so far, instead of the previous best state.

    The call returns the paths of all files that are still needed.

    Args:
        claim: the claim that this attempt has on the job.
        step: the number of steps the run had made when it was in this state.
        path: the path of the state's checkpoint, below the storage root.
        sha256: the SHA-256 of the checkpoint's ``state.json``.
        metric: the name of the metric that chooses the best state.
        value: the value of that metric.
    """
    # As text: Lua's cjson, which writes the pointer, would keep only 14 digits of a number.
    args = [*claim.args, step, path, sha256, metric, repr(float(value))]
    return Call("best_kept", args, lambda reply: texts(checked(reply)[1:]))


def refused(claim: Claim, *, path: str, why: str) -> Call[None]:
    """
    Remove from the record a checkpoint that cannot be used; *why* says what is wrong with it.

    The job continues from the previous checkpoint instead. Rows after that checkpoint are truncated
    if they were computed with another fingerprint (other hardware or library versions).
    """
    return Call("refused", [*claim.args, path, why], accepted)


def passed_over(claim: Claim, *, path: str, why: str, step: int) -> Call[None]:
    """
    Record that the files of a checkpoint are missing, and that the run continues from *step*.

    The record still points to the checkpoint. Rows after *step* are truncated if they were computed
    with another fingerprint (other hardware or library versions).
    """
    return Call("passed_over", [*claim.args, path, why, step], accepted)


def noted(claim: Claim, *, kind: str, data: Mapping[str, Any]) -> Call[None]:
    """Add an entry to the job's history."""
    return Call("noted", [*claim.args, kind, json_text(data)], accepted)


def off_plan(
    claim: Claim, *, step: int, planned: float, applied: float, group: str = ""
) -> Call[None]:
    """
    Mark the job as off plan: at *step*, the applied lr was not the planned one.

    If the job is marked already, the call has no effect.

    Args:
        claim: the claim that this attempt has on the job.
        step: the first step at which the two lrs differ.
        planned: the lr that the spec determines for this step.
        applied: the lr that the optimizer used.
        group: the pattern that names the parameter group; empty if there is only one group.
    """
    data: dict[str, Any] = {"step": step, "planned": planned, "applied": applied}
    if group:
        data["group"] = group
    return Call("off_plan", [*claim.args, step, json_text(data)], accepted)
