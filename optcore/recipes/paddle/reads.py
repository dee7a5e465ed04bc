"""How keys that PaddleOCR and PaddleClas share are converted; their durations count epochs."""

from __future__ import annotations

from typing import Any

from optcore.recipes.block import Block
from optcore.recipes.table import Read, only


def of(epochs: float) -> dict[str, Any]:
    """Return a duration of *epochs* epochs."""
    return {"epochs": float(epochs)}


def at(epochs: float) -> dict[str, Any] | int:
    """Return the moment after *epochs* epochs."""
    return of(epochs) if epochs else 0


def rise(length: dict[str, Any] | int, *, start: float, end: float) -> dict[str, Any]:
    """
    Return paddle.optimizer.lr.LinearWarmup: a line to *end*, then the schedule from its beginning.

    The schedule is not shortened, so that it ends after the run.
    """
    return {"length": length, "start": start, "end": end, "after": "delay"}


def boundaries(field: str) -> Read:
    """Return what converts a list of epochs, which Paddle multiplies by the steps of an epoch."""
    return lambda lr, key: lr.converted(key, field, [at(epochs) for epochs in lr.numbers(key)])


def values(lr: Block, key: str, *, within: str = "schedule") -> None:
    """Convert the values of a PiecewiseDecay, whose last holds after the boundaries."""
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
    """Return what converts the shape of a OneCycleLR."""
    shapes = {"cos": "cosine", "linear": "linear"}
    return lambda lr, key: lr.converted(key, field, lr.choice(key, shapes))


LAST_EPOCH = only(-1, "must be -1: a job begins at its first step")
