"""Durations of Paddle's configurations, which count epochs, as durations of a job."""

from __future__ import annotations

from typing import Any


def of(epochs: float) -> dict[str, Any]:
    """Return a duration of *epochs* epochs."""
    return {"epochs": float(epochs)}


def at(epochs: float) -> dict[str, Any] | int:
    """Return the moment after *epochs* epochs."""
    return of(epochs) if epochs else 0


def warmup(length: dict[str, Any] | int, *, start: float, end: float) -> dict[str, Any]:
    """
    Return paddle.optimizer.lr.LinearWarmup: a line to *end*, then the schedule from its beginning.

    The schedule is not shortened, so that it ends after the run.
    """
    return {"length": length, "start": start, "end": end, "after": "delay"}
