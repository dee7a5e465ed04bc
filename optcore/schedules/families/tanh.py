"""Tanh: a hyperbolic tangent from lr down to an end value."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import Example, Variants
from optcore.schedules.dialects import Dialectal, ScheduleDialect
from optcore.schedules.families.annealing import Annealing, between
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve
from optcore.spec.duration import RunLength
from optcore.spec.errors import reject


class Tanh(Annealing, Dialectal):
    """
    A hyperbolic tangent from lr down to *end*: lr falls slowly at both ends, and fast between.

    x is min(t, length) / length. e is *end*, or lr * *end_fraction* if *end_fraction* is given::

        f(t) = e + (lr - e) * (1 - tanh(lower * (1 - x) + upper * x)) / 2    for t < length
        f(t) = e                                                           for t >= length

    References:
        Hsueh et al., Stochastic Gradient Descent with Hyperbolic-Tangent Decay, 2019.
        https://arxiv.org/abs/1806.01593
        timm 1.0.31 TanhLRScheduler (its cycles: `cycle`).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("timm",)
    LATER: ClassVar[frozenset[str]] = frozenset({"dialect", "precision"})
    EXAMPLE: ClassVar[Example] = {}
    VARIANTS: ClassVar[Variants] = {"upper 6": {"upper": 6.0}}

    kind: Literal["tanh"]
    lower: float = Field(-7.0, ge=-50, le=50)
    """The argument of tanh at the start."""
    upper: float = Field(3.0, ge=-50, le=50)
    """The argument of tanh at the end, which must be above lower."""

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if not self.lower < self.upper:
            reject(
                ["upper"],
                f"upper must be above lower, which is {self.lower}, got {self.upper}",
                self.upper,
            )
        return self

    @property
    def rises_to_curve(self) -> bool:
        """Always true: a warmup ends at the schedule's value, as in timm's TanhLRScheduler."""
        return True

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return tanh(
            lr=lr,
            length=run.span(self.length),
            lower=self.lower,
            upper=self.upper,
            **self._ends(),
        )


def tanh(
    *,
    lr: float,
    length: float,
    end: float = 0.0,
    end_fraction: float | None = None,
    lower: float = -7.0,
    upper: float = 3.0,
) -> Curve:
    """Return a hyperbolic tangent from lr at t = 0 to the end value at t = length."""
    lr_at = between(lr, end, end_fraction, DOUBLE)

    def f(t: Array) -> Array:
        x = t / length
        # At x = 1 a part of (1 - tanh(upper)) / 2 of the fall remains (0.25 % by default), which
        # timm skips.
        left = (1 - np.tanh(lower * (1 - x) + upper * x)) / 2
        return lr_at(np.where(t < length, left, 0.0))

    return f
