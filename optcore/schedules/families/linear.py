"""Linear: lr follows a straight line to its end value."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from optcore.schedules.base import (
    Example,
    Fraction,
    Variants,
)
from optcore.schedules.dialects import ScheduleDialect
from optcore.schedules.families.annealing import Fall
from optcore.schedules.families.polynomial import polynomial
from optcore.schedules.numerics.numbers import Curve
from optcore.schedules.numerics.recursion import Single, products
from optcore.spec.duration import RunLength
from optcore.spec.errors import reject


class Linear(Fall):
    """
    A straight line from lr, or a fraction of lr, to *end*; lr then stays at *end*.

    s is lr * *start_fraction*. e is *end*, or lr * *end_fraction* if *end_fraction* is given::

        f(t) = s + (e - s) * min(t, length) / length

    With *begin*, lr is s before the step *begin*, and the formula counts t from that step.

    References:
        torch 2.13 LinearLR(start_factor, end_factor, total_iters); Paddle 3.3.1 LinearLR;
        transformers 5.24 get_linear_schedule_with_warmup; optax 0.2.8 linear_schedule and
        warmup_constant_schedule (begin is transition_begin).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle", "transformers", "optax")
    LATER: ClassVar[frozenset[str]] = frozenset({"begin"})
    EXAMPLE: ClassVar[Example] = {}
    VARIANTS: ClassVar[Variants] = {
        "start_fraction 0.3, end 1": {"start_fraction": 0.3, "end": 1.0}
    }

    kind: Literal["linear"]
    start_fraction: Fraction = 1.0
    """The start of the line, as a fraction of lr; positive in dialect torch."""

    @model_validator(mode="after")
    def _torch_starts_above_zero(self) -> Self:
        if self.dialect == "torch" and self.start_fraction == 0:
            reject(
                ["start_fraction"],
                f"start_fraction must be positive in dialect torch, whose LinearLR multiplies "
                f"the current lr, got {self.start_fraction}",
                self.start_fraction,
            )
        return self

    def num_warmup_steps(self, run: RunLength) -> int:
        """
        Return the number of warmup steps.

        A line that rises to an *end_fraction* over a *length* is torch's form of a warmup: all its
        steps are counted.
        """
        before = super().num_warmup_steps(run)
        climbs = self.end_fraction is not None and self.start_fraction < self.end_fraction
        # A line as long as the run is the schedule itself, not a rise before it.
        if self.length is None or not climbs:
            return before
        return min(run.total_steps, before + math.ceil(run.span(self.length)))

    def peak(self, lr: float) -> float | None:
        """Return the value that a warmup rises to: the first value of the line."""
        return lr * self.start_fraction

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return self.behind_start(self._line(lr, self.own_length(run)), run)

    def _line(self, lr: float, length: float) -> Curve:
        if self.dialect == "optax":
            start, end = lr * self.start_fraction, self.absolute_end(lr)
            return polynomial(lr=start, length=length, end=end, numbers=self.numbers)
        if self.recursive:
            # The fraction itself: lr * fraction / lr may be rounded to another number or be 0 / 0.
            factor = self.end / lr if self.end_fraction is None else self.end_fraction
            return recursive_linear(
                lr=lr, length=length, start_factor=self.start_fraction, end_factor=factor
            )
        return linear(lr=lr, length=length, start_fraction=self.start_fraction, **self._ends())


def linear(
    *,
    lr: float,
    length: float,
    end: float = 0.0,
    end_fraction: float | None = None,
    start_fraction: float = 1.0,
) -> Curve:
    """Return f(t) = s + (e - s) * min(t, length) / length; s is lr * start_fraction, e the end."""
    start = lr * start_fraction
    stop = end if end_fraction is None else lr * end_fraction
    return lambda t: start + (stop - start) * (np.minimum(t, length) / length)


def recursive_linear(*, lr: float, length: float, start_factor: float, end_factor: float) -> Curve:
    """Return a line from lr * start_factor to lr * end_factor, by torch's recursion in float32."""
    # In MindSpore these are Python's floats, rounded once, when combined with the step, a tensor.
    rise = np.float32(end_factor - start_factor)
    base = np.float32(length * start_factor)
    first = float(np.float32(lr) * np.float32(start_factor))

    def factors(t: Single) -> Single:
        with np.errstate(divide="ignore", invalid="ignore"):
            # After an end of 0 this may divide by 0; np.where below discards the result.
            factor = np.float32(1) + rise / (base + (t - np.float32(1)) * rise)
        return np.where(t > length, np.float32(1), factor).astype(np.float32)

    return products(first, factors)
