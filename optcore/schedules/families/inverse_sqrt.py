"""Schedules that fall with the inverse square root of t: noam and inverse_sqrt."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from optcore.schedules.base import Example, RunProblem, at_least_a_step
from optcore.schedules.dialects import Dialectal, ScheduleDialect
from optcore.schedules.numerics.numbers import Array, Curve
from optcore.schedules.warmup import After, Warmup
from optcore.spec.duration import Duration, DurationOrShare, Epochs, RunLength, Share


class Noam(Dialectal):
    """
    The Transformer's schedule: a linear rise over *warmup_steps*, then an inverse square root.

    ::

        f(t) = lr * d_model ** -0.5 * min(t ** -0.5, t * warmup_steps ** -1.5),  f(0) = 0

    The optimizer's lr is only a factor in this schedule. The highest value of the schedule is
    lr * (d_model * warmup_steps) ** -0.5, at t = warmup_steps.

    References:
        Vaswani et al., Attention Is All You Need, 2017, section 5.3.
        https://arxiv.org/abs/1706.03762
        Paddle 3.3.1 NoamDecay.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("paddle",)
    AFTER: ClassVar[After] = "delay"
    EXAMPLE: ClassVar[Example] = {"d_model": 1, "warmup_steps": 100}

    kind: Literal["noam"]
    d_model: float = Field(gt=0)
    """The width of the model."""
    warmup_steps: Duration
    """The length of the rise."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *warmup_steps* rounds to 0 steps."""
        yield from super().problems_in(run)
        yield from at_least_a_step("warmup_steps", self.warmup_steps, run)

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return the number of warmup steps, including the schedule's own rise."""
        before = super().num_warmup_steps(run)
        return min(run.total_steps, before + math.ceil(run.span(self.warmup_steps)))

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return noam(lr=lr, d_model=self.d_model, warmup_steps=run.span(self.warmup_steps))


def _timescale(data: dict[str, Any]) -> int | Epochs | Share:
    """Return the default of `InverseSqrt.timescale` in a spec with the fields *data*."""
    warmup = data.get("warmup")
    if data.get("dialect") == "transformers" and isinstance(warmup, Warmup):
        return warmup.length or 10_000
    return 10_000


class InverseSqrt(Dialectal):
    """
    The inverse square root of t, usually after a warmup as long as *timescale*.

    ::

        f(t) = lr / sqrt(1 + t / timescale)

    After a warmup of w = timescale steps with ``delay``, the value at t is lr * sqrt(w / t).

    References:
        transformers 5.24 get_inverse_sqrt_schedule; fairseq inverse_sqrt.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("transformers",)
    # After a delaying warmup of w = timescale steps, f(t) is the usual lr * sqrt(w / t).
    AFTER: ClassVar[After] = "delay"
    LATER: ClassVar[frozenset[str]] = frozenset({"dialect", "precision"})
    EXAMPLE: ClassVar[Example] = {"timescale": 50, "warmup": {"length": 50}}

    kind: Literal["inverse_sqrt"]
    timescale: DurationOrShare = Field(
        default_factory=_timescale,
        json_schema_extra={"defaults": {"plain": 10_000, "transformers": None}},
    )
    """The time after which lr has fallen to lr / sqrt(2). In dialect transformers the default is
    the length of the warmup, if there is one."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *timescale* rounds to 0 steps."""
        yield from super().problems_in(run)
        yield from at_least_a_step("timescale", self.timescale, run)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return inverse_sqrt(lr=lr, timescale=run.span(self.timescale))


def noam(*, lr: float, d_model: float, warmup_steps: float) -> Curve:
    """Return f(t) = lr * d_model ** -0.5 * min(t ** -0.5, t * warmup_steps ** -1.5)."""
    factor, rise = lr * d_model**-0.5, warmup_steps**-1.5

    def f(t: Array) -> Array:
        # At t = 0 the minimum is the rise, which is 0; the fall need only avoid a division by 0.
        fall = 1 / np.sqrt(np.maximum(t, 1e-300))
        return np.asarray(factor * np.minimum(fall, rise * t))

    return f


def inverse_sqrt(*, lr: float, timescale: float) -> Curve:
    """Return f(t) = lr / sqrt(1 + t / timescale)."""
    return lambda t: lr / np.sqrt(1 + t / timescale)
