"""Evaluation: which metric chooses the best checkpoint or ends a run early."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from optcore.spec.base import Spec
from optcore.spec.limits import MAX_COUNT

Metric = Literal["test_loss", "test_accuracy", "ema_loss", "ema_accuracy"]
"""
A quantity that an evaluation measures on the held-out examples.

With the prefix ``ema_`` it is measured with the averaged weights.
"""


def better(metric: Metric, value: float, best: float | None, min_delta: float = 0.0) -> bool:
    """
    Return whether *value* is better than *best* by more than *min_delta*.

    A higher accuracy is better, and a lower loss. NaN is never better; any other value is better
    than None.
    """
    if best is None:
        return value == value  # noqa: PLR0124  not NaN
    if metric.endswith("accuracy"):
        return value > best + min_delta
    return value < best - min_delta


class EarlyStopping(Spec):
    """
    End the run when a metric has not improved for *patience* evaluations in a row.

    References:
        keras.callbacks.EarlyStopping; Prechelt, Early Stopping - but when?, 1998.
    """

    metric: Metric = "test_loss"
    """Metric that must improve."""
    patience: int = Field(ge=1, le=MAX_COUNT, json_schema_extra={"unit": "evaluations"})
    """The run ends after this many evaluations in a row without a new best value."""
    min_delta: float = Field(0.0, ge=0)
    """A value counts as an improvement if it beats the best value by more than this."""
