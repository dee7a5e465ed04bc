"""Cyclical learning rates: a triangle wave between a base and lr."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import (
    Example,
    Rate,
    RunProblem,
    Variants,
    at_least_a_step,
    finite_power,
)
from optcore.schedules.dialects import Dialectal, ScheduleDialect
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, RunLength, counted
from optcore.spec.errors import reject
from optcore.spec.limits import MAX_VALUES

Scale = Annotated[float, Field(ge=0)]


class Cyclic(Dialectal):
    """
    A triangle wave between *base* and lr, which is the peak.

    ::

        f(t) = base + (lr - base) * h * s

    h is the height within the current cycle. It rises from 0 to 1 in *up* steps and falls back to 0
    in *down* steps. s is the scale, which *mode* selects; i is the number of completed cycles::

        triangular   s = 1
        triangular2  s = 1 / 2 ** i
        exp_range    s = gamma ** t
        scales       s = scales[i] with scale_per cycle, scales[t] with scale_per step

    After the last entry of *scales*, the last entry continues to apply.

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017.
        https://arxiv.org/abs/1506.01186
        torch 2.13 CyclicLR; Paddle 3.3.1 CyclicLR (scale_fn becomes scales).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle")
    # A cycle has its own length, and the first cycle begins at the bottom of the wave.
    AFTER: ClassVar[After] = "delay"
    EXAMPLE: ClassVar[Example] = {"base": 0.1, "up": 40}
    VARIANTS: ClassVar[Variants] = {"triangular2": {"base": 0.1, "up": 40, "mode": "triangular2"}}

    kind: Literal["cyclic"]
    base: Rate
    """The lr at the bottom of the wave."""
    up: Duration = 2000
    """The length of the rise."""
    down: Duration | None = None
    """The length of the fall; null for the same length as up."""
    mode: Literal["triangular", "triangular2", "exp_range", "scales"] = "triangular"
    """How the height of the wave changes during the run."""
    gamma: float = Field(1.0, gt=0)
    """The base of the power in mode exp_range."""
    scales: list[Scale] | None = Field(None, min_length=1, max_length=MAX_VALUES, fail_fast=True)
    """The factors of the height in mode scales; null in the other modes."""
    scale_per: Literal["cycle", "step"] = "cycle"
    """Whether scales has one entry per cycle or per step."""

    @model_validator(mode="after")
    def _scales_are_given(self) -> Self:
        if (self.mode == "scales") != (self.scales is not None):
            rule = "must be given" if self.scales is None else "must be null"
            given = "null" if self.scales is None else f"a list of {len(self.scales)}"
            reject(["scales"], f"scales {rule} in mode {self.mode}, got {given}", self.scales)
        return self

    def unused(self) -> Iterator[tuple[str, str]]:
        """Yield gamma and scale_per in modes that do not use them."""
        if self.mode != "exp_range":
            yield "gamma", f"mode is {self.mode}, not exp_range"
        if self.mode != "scales":
            yield "scale_per", f"mode is {self.mode}, not scales"

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *up* or *down* rounds to 0 steps, or if lr overflows."""
        yield from super().problems_in(run)
        yield from at_least_a_step("up", self.up, run)
        yield from at_least_a_step("down", self.down, run)
        if self.mode == "exp_range":
            yield from finite_power("gamma", self.gamma, run.total_steps)

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning if the run ends before the first peak."""
        yield from super().warnings_in(run)
        peak = self.offset(run) + run.span(self.up)
        if peak >= run.total_steps:
            yield (
                f"schedule.up: lr never reaches its peak, which is at step {peak:.12g}: the run "
                f"ends after {counted(run.total_steps, 'step')}"
            )

    def _formula(self, lr: float, run: RunLength) -> Curve:
        up = run.span(self.up)
        return cyclic(
            lr=lr,
            base=self.base,
            up=up,
            down=up if self.down is None else run.span(self.down),
            mode=self.mode,
            gamma=self.gamma,
            scales=self.scales or (1.0,),
            scale_per=self.scale_per,
            # CyclicLR computes lr from base, so there is no recursion to copy, even in float32.
            numbers=self.numbers,
        )


def cyclic(
    *,
    lr: float,
    base: float,
    up: float,
    down: float,
    mode: Literal["triangular", "triangular2", "exp_range", "scales"] = "triangular",
    gamma: float = 1.0,
    scales: Sequence[float] = (1.0,),
    scale_per: Literal["cycle", "step"] = "cycle",
    numbers: Numbers = DOUBLE,
) -> Curve:
    """Return f(t) = base + (lr - base) * height * scale; `Cyclic` defines height and scale."""
    # torch divides once, in Python, before there is a tensor.
    total, ratio, one = numbers(up + down), numbers(up / (up + down)), numbers(1)
    floor, rise = numbers(base), numbers.lr(lr) - numbers(base)
    heights = np.asarray(scales, numbers.dtype)

    def scale(cycle: Array, t: Array) -> Array:
        if mode == "triangular2":
            return numbers.power(numbers(0.5), cycle - one)  # type: ignore[no-any-return]
        if mode == "exp_range":
            # The exponent is the step, not the cycle: torch's exp_range has scale_mode iterations.
            return numbers.power(numbers(gamma), t)  # type: ignore[no-any-return]
        at = cycle - one if scale_per == "cycle" else t
        return np.asarray(heights[np.minimum(at, len(heights) - 1).astype(np.int64)])

    def f(t: Array) -> Array:
        at = numbers.steps(t)
        # 1 is added first, as in torch: at / total then loses its last bits, which decide on which
        # side of the peak a step is.
        cycle = np.floor(one + at / total)
        x = one + at / total - cycle
        height = rise * np.where(x <= ratio, x / ratio, (x - one) / (ratio - one))
        if mode != "triangular":
            height = height * scale(cycle, at)
        return np.asarray(floor + height)

    return f
