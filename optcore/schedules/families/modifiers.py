"""Schedules that change one inner schedule: cycle, scale, clamp, noise, per_epoch and shift."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import (
    Example,
    Fraction,
    Rate,
    RunProblem,
    ScheduleSpec,
    Variants,
    at_least_a_step,
    below,
    finite_power,
)
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve
from optcore.schedules.numerics.random import normal
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, RunLength
from optcore.spec.errors import reject

if TYPE_CHECKING:
    # The catalogue imports this module, and puts Part into its fields by model_rebuild.
    from optcore.schedules.catalogue import Part

COSINE = {"kind": "cosine"}


class Modifier(ScheduleSpec):
    """Base class for schedules that change one inner schedule."""

    schedule: Part
    """The inner schedule, which is changed."""

    @property
    def parts(self) -> Sequence[ScheduleSpec]:
        """The inner schedule."""
        return (self.schedule,)

    def inner(self, run: RunLength) -> RunLength:
        """Return the length of the run as the inner schedule counts it."""
        return run

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield the problems in the inner schedule."""
        yield from super().problems_in(run)
        yield from below(("schedule",), self.schedule.problems_in(self.inner(run)))

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield the warnings about the inner schedule."""
        yield from super().warnings_in(run)
        for text in self.schedule.warnings_in(self.inner(run)):  # text begins with a field's path
            yield text.replace("schedule", "schedule.schedule", 1)

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return the number of warmup steps, including those in the inner schedule."""
        inner = self.inner(run)
        steps = self.schedule.num_warmup_steps(inner)
        if inner.steps_per_epoch != run.steps_per_epoch:  # the inner schedule counts epochs
            steps *= run.steps_per_epoch
        return min(run.total_steps, super().num_warmup_steps(run) + steps)

    def _inner_curve(self, lr: float, run: RunLength) -> Curve:
        return self.schedule.curve(lr, self.inner(run))


class Cycle(Modifier):
    """
    A schedule that is repeated every *length* steps.

    Writing i for floor(t / length), the number of completed repetitions::

        f(t) = schedule(t - i * length) * factor ** i

    References:
        timm 1.0.31 cycle_mul = 1, cycle_decay; optax 0.2.8 sgdr_schedule.
    """

    # A repetition has its own length, and the first repetition must be complete.
    AFTER: ClassVar[After] = "delay"
    EXAMPLE: ClassVar[Example] = {"schedule": {"kind": "rex"}, "length": 100, "factor": 0.7}

    kind: Literal["cycle"]
    length: Duration
    """The length of one repetition, after which the schedule starts again."""
    factor: float = Field(1.0, gt=0)
    """The ratio of the lr in each repetition to the lr in the previous repetition."""

    def inner(self, run: RunLength) -> RunLength:
        """Return the length of one repetition."""
        return RunLength.of_part(run.span(self.length), run.steps_per_epoch)

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *length* comes to 0 steps, or if lr overflows during the run."""
        yield from super().problems_in(run)
        yield from at_least_a_step("length", self.length, run)
        times = run.total_steps / run.span(self.length)
        yield from finite_power("factor", self.factor, times)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        length = run.span(self.length)
        return cycle(self._inner_curve(lr, run), length=length, factor=self.factor)


class Scaled(Modifier):
    """
    A schedule multiplied by a constant factor.

    ::

        f(t) = schedule(t) * factor
    """

    EXAMPLE: ClassVar[Example] = {"schedule": COSINE, "factor": 0.5}
    VARIANTS: ClassVar[Variants] = {"cosine": COSINE}

    kind: Literal["scale"]
    factor: Fraction
    """The factor by which every value is multiplied."""

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return scale(self._inner_curve(lr, run), factor=self.factor)


class Clamp(Modifier):
    """
    A schedule whose values are limited to the range from *min* to *max*.

    ::

        f(t) = min(max(schedule(t), min), max)
    """

    EXAMPLE: ClassVar[Example] = {"schedule": COSINE, "min": 0.2, "max": 0.8}

    kind: Literal["clamp"]
    min: Rate = 0.0
    """The lower bound."""
    max: Rate | None = None
    """The upper bound; null for no upper bound."""

    @model_validator(mode="after")
    def _bounds_do_not_cross(self) -> Self:
        if self.max is not None and self.max < self.min:
            reject(["max"], f"max must be at least min, got {self.max} and {self.min}", self.max)
        return self

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return clamp(self._inner_curve(lr, run), low=self.min, high=self.max)


class Noise(Modifier):
    """
    A schedule with random noise; the noise at a given step is always the same.

    Writing z(seed, t) for a standard normal number that depends only on seed and t, and n for
    std * z(seed, t), limited to the range -limit..limit::

        t <  begin:  f(t) = schedule(t)
        t >= begin:  f(t) = schedule(t) * (1 + n)

    A resumed run gets the same lr.

    References:
        timm 1.0.31 lr_noise (there the seed is noise_seed + t).
    """

    EXAMPLE: ClassVar[Example] = {"schedule": COSINE, "std": 0.05, "begin": 100}

    kind: Literal["noise"]
    std: float = Field(ge=0, le=10)
    """The standard deviation of the noise, relative to lr."""
    limit: float = Field(0.67, ge=0, le=1)
    """The largest change of lr by the noise, relative to lr."""
    seed: int = Field(0, ge=0, lt=2**63)
    """The seed of the noise."""
    begin: Duration | None = None
    """The first step with noise; null for the first step of the run."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Yield also a beginning after no steps, which null says."""
        yield from super().problems_in(run)
        yield from at_least_a_step("begin", self.begin, run)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return noise(
            self._inner_curve(lr, run),
            std=self.std,
            limit=self.limit,
            seed=self.seed,
            begin=0 if self.begin is None else run.span(self.begin),
        )


class PerEpoch(Modifier):
    """
    A schedule that is computed once per epoch, with one lr for the whole epoch.

    ::

        f(t) = schedule(floor(t / steps_per_epoch))

    In the inner schedule an epoch is one step, so durations given as plain numbers count epochs.

    References:
        MindSpore 2.10 dynamic_lr lists; every scheduler whose step() is called once per epoch.
    """

    # Values change where epochs of the run begin.
    AFTER: ClassVar[After] = "overlap"
    EXAMPLE: ClassVar[Example] = {"schedule": COSINE}
    VARIANTS: ClassVar[Variants] = {"cosine": COSINE}

    kind: Literal["per_epoch"]

    def inner(self, run: RunLength) -> RunLength:
        """Return the number of epochs in the run as steps, counting an incomplete last epoch."""
        return RunLength(-(-run.total_steps // run.steps_per_epoch), 1)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return per_epoch(self._inner_curve(lr, run), steps_per_epoch=run.steps_per_epoch)


class Shift(Modifier):
    """
    A schedule without its first *by* steps.

    ::

        f(t) = schedule(t + by)

    References:
        Paddle 3.3.1 last_epoch (by = last_epoch + 1), for a run begun elsewhere.
    """

    EXAMPLE: ClassVar[Example] = {"schedule": COSINE, "by": 100}

    kind: Literal["shift"]
    by: Duration
    """The length of the beginning that is left out."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Yield also no steps to leave out."""
        yield from super().problems_in(run)
        yield from at_least_a_step("by", self.by, run)

    def inner(self, run: RunLength) -> RunLength:
        """Return the length of the run plus the steps left out."""
        return RunLength.of_part(run.span(None) + run.span(self.by), run.steps_per_epoch)

    def parts_in(self, run: RunLength) -> Iterator[tuple[ScheduleSpec, RunLength]]:
        """Yield the inner schedule with its length, including the steps left out."""
        # An upper bound: a formula skips the steps left out, a float32 recursion computes them.
        yield self.schedule, self.inner(run)

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return the number of warmup steps that are not left out."""
        # Not super(): a Modifier adds the whole warmup of its inner schedule.
        own = ScheduleSpec.num_warmup_steps(self, run)
        whole = self.schedule.num_warmup_steps(self.inner(run))
        left = max(0, whole - math.floor(run.span(self.by)))
        return min(run.total_steps, own + left)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return shift(self._inner_curve(lr, run), by=run.span(self.by))


def cycle(curve: Curve, *, length: float, factor: float) -> Curve:
    """Return f(t) = curve(t mod length) * factor ** floor(t / length)."""

    def f(t: Array) -> Array:
        again = np.floor(t / length)
        # Not below 0: for a length that is not whole, the product may be rounded up.
        lr = curve(np.maximum(t - again * length, 0.0))
        return lr if factor == 1 else lr * DOUBLE.power(factor, again)

    return f


def scale(curve: Curve, *, factor: float) -> Curve:
    """Return f(t) = curve(t) * factor."""
    return lambda t: curve(t) * factor


def clamp(curve: Curve, *, low: float, high: float | None) -> Curve:
    """Return f(t) = min(max(curve(t), low), high)."""
    return lambda t: np.clip(curve(t), low, high)


def noise(curve: Curve, *, std: float, limit: float, seed: int, begin: float) -> Curve:
    """Return f(t) = curve(t), multiplied by 1 + n from *begin* on; n is the noise in `Noise`."""

    def f(t: Array) -> Array:
        # timm draws again until |n| < limit; here each step has one draw, which is clipped.
        relative = np.clip(std * normal(seed, t), -limit, limit)
        return np.asarray(curve(t) * (1 + np.where(t < begin, 0.0, relative)))

    return f


def per_epoch(curve: Curve, *, steps_per_epoch: int) -> Curve:
    """Return f(t) = curve(floor(t / steps_per_epoch))."""
    return lambda t: curve(np.floor(t / steps_per_epoch))


def shift(curve: Curve, *, by: float) -> Curve:
    """Return f(t) = curve(t + by)."""
    return lambda t: curve(t + by)
