"""Convert keys that PaddleOCR and PaddleClas have in common, with durations in epochs."""

from __future__ import annotations

from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.table import Read, only


def of(epochs: float) -> dict[str, Any]:
    """Return the spec of a duration of *epochs* epochs."""
    return {"epochs": float(epochs)}


def at(epochs: float) -> dict[str, Any] | int:
    """Return the spec of the point in the run after *epochs* epochs."""
    return of(epochs) if epochs else 0


def rise(length: dict[str, Any] | int, *, start: float, end: float) -> dict[str, Any]:
    """
    Return the warmup of paddle.optimizer.lr.LinearWarmup: a line from *start* to *end*.

    After the warmup, the schedule starts from its beginning. The warmup does not shorten the
    schedule, so a schedule as long as the run is not finished when the run ends.
    """
    return {"length": length, "start": start, "end": end, "after": "delay"}


def boundaries(field: str) -> Read:
    """Return a function that converts a list of epochs to *field*, a list of points in the run."""
    return lambda lr, key: lr.converted(key, field, [at(epochs) for epochs in lr.numbers(key)])


def values(lr: Block, key: str, *, within: str = "schedule") -> None:
    """Convert the values of a PiecewiseDecay; the last value applies after the last boundary."""
    given, wanted = lr.numbers(key), len(lr.numbers("decay_epochs", [])) + 1
    if len(given) < wanted:
        lr.refused(key, f"must have {wanted} entries, one more than decay_epochs")
        return
    reason = ""
    if len(given) > wanted:
        reason = "Paddle takes the last after the last boundary, and not those before it"
    used = [*given[: wanted - 1], given[-1]]
    lr.converted(key, f"{within}.values", used, reason=reason)
    lr.converted(key, "optimizer.lr", used[0])


def shape(field: str) -> Read:
    """Return a function that converts the shape of a OneCycleLR to *field*."""
    shapes = {"cos": "cosine", "linear": "linear"}
    return lambda lr, key: lr.converted(key, field, lr.choice(key, shapes))


LAST_EPOCH = only(-1, "must be -1: a job begins at its first step")
