"""What a worker stores of a run: rows, evaluations, checkpoints, remarks."""

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
    Store rows from row *first* on; the call returns what the client asks for, or ''.

    Rows that are there already must be equal in what was computed: that is how a resumed run
    proves itself. What was only observed is overwritten.

    Args:
        claim: of this attempt.
        first: number of the first row in *data*; row i is the i-th update that was attempted.
        width: bytes of a row.
        data: whole rows, as `store.jobs.series.Series` packs them.
        lease_ms: the lease is extended by this much.
        stalled_ms: milliseconds for which this attempt could not train so far, because too many
            rows were not stored.
    """
    args = [*claim.args, first, width, data, lease_ms, stalled_ms]
    return Call("append", args, lambda reply: text(checked(reply)[2]))


def evaluated(claim: Claim, *, step: int, data: Mapping[str, Any]) -> Call[None]:
    """Store an evaluation after *step* updates; one that is there already must be equal."""
    # On replay the server compares the text: the order of *data* must be that of every attempt, and
    # floats are written by `repr`, which two different ones never share.
    return Call("evaluated", [*claim.args, step, json_text(data)], accepted)


def checkpointed(
    claim: Claim, *, step: int, path: str, sha256: str, digest: str
) -> Call[list[str]]:
    """
    Point the record at a checkpoint: from now on the job continues there.

    The call returns the paths of all files that are still needed.

    Args:
        claim: of this attempt.
        step: rows there were when it was made; the next attempt's first row.
        path: below the storage root.
        sha256: of its facts.
        digest: of every tensor of the run, for the history.
    """
    args = [*claim.args, step, path, sha256, digest]
    return Call("checkpointed", args, lambda reply: texts(checked(reply)[1:]))


def best_kept(
    claim: Claim, *, step: int, path: str, sha256: str, metric: str, value: float
) -> Call[list[str]]:
    """
    Point the record at the best state so far; the last call counts, also on replay.

    The call returns the paths of all files that are still needed.

    Args:
        claim: of this attempt.
        step: rows there were when it was found.
        path: of its checkpoint, below the storage root.
        sha256: of the checkpoint's facts.
        metric: what it is best in.
        value: of that metric.
    """
    # As text: Lua's cjson, which writes the pointer, would keep 14 digits of a number.
    args = [*claim.args, step, path, sha256, metric, repr(float(value))]
    return Call("best_kept", args, lambda reply: texts(checked(reply)[1:]))


def refused(claim: Claim, *, path: str, why: str) -> Call[None]:
    """
    Forget a checkpoint that cannot be used; the one before it takes its place.

    Rows after that one are truncated if they were computed with other bits.
    """
    return Call("refused", [*claim.args, path, why], accepted)


def passed_over(claim: Claim, *, path: str, why: str, step: int) -> Call[None]:
    """
    Say that a checkpoint is not there, and that the run continues from *step*.

    It is not forgotten. Rows after *step* are truncated if they were computed with other bits.
    """
    return Call("passed_over", [*claim.args, path, why, step], accepted)


def noted(claim: Claim, *, kind: str, data: Mapping[str, Any]) -> Call[None]:
    """Add a remark to the job's history."""
    return Call("noted", [*claim.args, kind, json_text(data)], accepted)


def off_plan(
    claim: Claim, *, step: int, planned: float, applied: float, group: str = ""
) -> Call[None]:
    """Mark the job: the lr applied at *step*, the first such, is not planned for *group*."""
    data: dict[str, Any] = {"step": step, "planned": planned, "applied": applied}
    if group:
        data["group"] = group
    return Call("off_plan", [*claim.args, step, json_text(data)], accepted)
