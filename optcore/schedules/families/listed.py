"""Schedules given as lists, with a factor or a value for every step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from optcore.schedules.base import Example, Rate, RunProblem, ScheduleSpec, finite_power
from optcore.schedules.dialects import Dialectal, ScheduleDialect
from optcore.schedules.numerics.numbers import Curve
from optcore.schedules.numerics.recursion import products
from optcore.schedules.warmup import After
from optcore.spec.duration import RunLength
from optcore.spec.limits import MAX_VALUES


class Multiplicative(Dialectal):
    """
    A factor for every step, which multiplies the lr of the previous step.

    ::

        f(t) = lr * factors[0] * factors[1] * ... * factors[t - 1]

    After the last factor, lr no longer changes.

    References:
        torch 2.13 MultiplicativeLR; Paddle 3.3.1 MultiplicativeDecay.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle")
    EXAMPLE: ClassVar[Example] = {"factors": [0.99] * 50 + [1.01] * 30}

    kind: Literal["multiplicative"]
    # fail_fast: otherwise pydantic makes an error for each of a million wrong entries.
    factors: list[Annotated[float, Field(ge=0)]] = Field(
        min_length=1, max_length=MAX_VALUES, fail_fast=True
    )
    """The factors; factors[i] multiplies lr from t = i + 1 on."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if a product overflows during the run."""
        yield from super().problems_in(run)
        if max(self.factors) > 1:  # else lr never rises
            yield from finite_power("factors", math.e, self._log_of_largest(run))

    def _log_of_largest(self, run: RunLength) -> float:
        largest = running = 0.0
        for factor in self.factors[: run.total_steps]:
            # As a sum: the product itself may overflow. After a factor of 0 lr is 0 for good.
            running = running + math.log(factor) if factor else -math.inf
            largest = max(largest, running)
        return largest

    def _formula(self, lr: float, run: RunLength) -> Curve:
        make = recursive_multiplicative if self.recursive else multiplicative
        return make(lr=lr, factors=self.factors)


class Values(ScheduleSpec):
    """
    A list with the lr of every step.

    ::

        f(t) = values[t]         if relative is false
        f(t) = lr * values[t]    if relative is true

    Use values for a curve that no other schedule describes, such as a lambda in another library:
    give the list of the lambda's values.

    References:
        torch 2.13 LambdaLR; Paddle 3.3.1 LambdaDecay; MindSpore 2.10 experimental.LambdaLR.
    """

    # Each value belongs to a step of the run, which a warmup must not move.
    AFTER: ClassVar[After] = "overlap"
    EXAMPLE: ClassVar[Example] = {"values": [round(1 - (t % 80) / 100, 2) for t in range(400)]}

    kind: Literal["values"]
    values: list[Rate] = Field(min_length=1, max_length=MAX_VALUES, fail_fast=True)
    """One value per step of the run."""
    relative: bool = False
    """Whether the values are fractions of the optimizer's lr. false: the values are the lr itself,
    and the optimizer's lr is not used."""

    @property
    def uses_lr(self) -> bool:
        """Whether the values are relative to the optimizer's own lr."""
        return self.relative

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *values* is not as long as the run."""
        yield from super().problems_in(run)
        # A part of 12.6 steps contains 12 or 13 steps of the run, depending on its boundaries.
        fewest = run.total_steps - (run.exact_steps is not None)
        if not fewest <= len(self.values) <= run.total_steps:
            yield RunProblem(
                ("values",),
                f"values must have one entry per step of the run: {run.total_steps}, "
                f"got {len(self.values)}",
                self.values,
            )

    def _formula(self, lr: float, run: RunLength) -> Curve:
        factor = lr if self.relative else 1.0
        return values(values=[factor * value for value in self.values])


def multiplicative(*, lr: float, factors: Sequence[float]) -> Curve:
    """Return f(t) = lr * factors[0] * ... * factors[t - 1]."""
    # One product after another, as the frameworks compute them: powers would round differently.
    return values(values=np.multiply.accumulate([lr, *factors]).tolist())


def recursive_multiplicative(*, lr: float, factors: Sequence[float]) -> Curve:
    """Return the curve in which lr is multiplied by factors[t - 1] at each t >= 1, in float32."""
    # products() needs factors from t = 1 on; the 1 at the end is the factor of all later steps.
    listed = np.asarray([1.0, *factors, 1.0], np.float32)
    return products(lr, lambda t: listed[np.minimum(t, len(listed) - 1).astype(np.int64)])


def values(*, values: Sequence[float]) -> Curve:
    """Return f(t) = values[t], and the last value after the end of the list."""
    # A compressing warmup gives fractions of steps: the value of the step before holds.
    levels = np.asarray(values, np.float64)
    return lambda t: levels[np.minimum(t, len(levels) - 1).astype(np.int64)]
