"""Schedules around one other: repeated, scaled, bounded, with noise, per epoch, entered later."""

from __future__ import annotations

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
    """A schedule around one other."""

    schedule: Part
    """What it changes."""

    @property
    def parts(self) -> Sequence[ScheduleSpec]:
        """The inner schedule."""
        return (self.schedule,)

    def inner(self, run: RunLength) -> RunLength:
        """Return the run as the inner schedule sees it."""
        return run

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Yield also what is wrong with the inner schedule."""
        yield from super().problems_in(run)
        yield from below(("schedule",), self.schedule.problems_in(self.inner(run)))

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Yield what the inner schedule warns of."""
        for text in self.schedule.warnings_in(self.inner(run)):  # begins with a field's path
            yield text.replace("schedule", "schedule.schedule", 1)

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return also those of the inner schedule."""
        inner = self.inner(run)
        steps = self.schedule.num_warmup_steps(inner)
        if inner.steps_per_epoch != run.steps_per_epoch:  # the inner one counts epochs
            steps *= run.steps_per_epoch
        return min(run.total_steps, super().num_warmup_steps(run) + steps)

    def _inner_curve(self, lr: float, run: RunLength) -> Curve:
        return self.schedule.curve(lr, self.inner(run))


class Cycle(Modifier):
    """
    A schedule again and again.

    Writing i for floor(t / length)::

        f(t) = schedule(t - i * length) * factor ** i

    References:
        timm 1.0.31 cycle_mul = 1, cycle_decay; optax 0.2.8 sgdr_schedule.
    """

    # A repetition has a length of its own, and the first one is whole.
    AFTER: ClassVar[After] = "delay"
    EXAMPLE: ClassVar[Example] = {"schedule": {"kind": "rex"}, "length": 100, "factor": 0.7}

    kind: Literal["cycle"]
    length: Duration
    """Steps after which it starts again."""
    factor: float = Field(1.0, gt=0)
    """How much higher (or lower) each repetition is than the one before."""

    def inner(self, run: RunLength) -> RunLength:
        """Return one repetition."""
        # At least 1: problems_in asks the inner schedule before it reports a length of no steps.
        return RunLength(run.steps_or_one(self.length), run.steps_per_epoch)

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Yield also a repetition of no steps, and lr growing beyond all bounds."""
        yield from super().problems_in(run)
        yield from at_least_a_step("length", self.length, run)
        times = run.total_steps / run.steps_or_one(self.length)
        yield from finite_power("factor", self.factor, times)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        length = run.steps_or_one(self.length)
        return cycle(self._inner_curve(lr, run), length=length, factor=self.factor)


class Scaled(Modifier):
    """
    A schedule, larger or smaller.

    ::

        f(t) = schedule(t) * factor
    """

    EXAMPLE: ClassVar[Example] = {"schedule": COSINE, "factor": 0.5}
    VARIANTS: ClassVar[Variants] = {"cosine": COSINE}

    kind: Literal["scale"]
    factor: Fraction
    """What every value is multiplied with."""

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return scale(self._inner_curve(lr, run), factor=self.factor)


class Clamp(Modifier):
    """
    A schedule kept within bounds.

    ::

        f(t) = min(max(schedule(t), min), max)
    """

    EXAMPLE: ClassVar[Example] = {"schedule": COSINE, "min": 0.2, "max": 0.8}

    kind: Literal["clamp"]
    min: Rate = 0.0
    """Lower bound."""
    max: Rate | None = None
    """Upper bound; null for none."""

    @model_validator(mode="after")
    def _bounds_do_not_cross(self) -> Self:
        if self.max is not None and self.max < self.min:
            reject(["max"], f"max must be at least min, got {self.max} and {self.min}", self.max)
        return self

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return clamp(self._inner_curve(lr, run), low=self.min, high=self.max)


class Noise(Modifier):
    """
    A schedule with noise on it; the noise of a step is always the same.

    Writing z(seed, t) for a standard normal number that the two alone decide, and n for
    std * z(seed, t), kept within -limit..limit::

        f(t) = schedule(t) * (1 + n)     from *begin* on

    A resumed run sees the same lr.

    References:
        timm 1.0.31 lr_noise (there the seed is noise_seed + t).
    """

    EXAMPLE: ClassVar[Example] = {"schedule": COSINE, "std": 0.05, "begin": 100}

    kind: Literal["noise"]
    std: float = Field(ge=0, le=10)
    """Standard deviation, relative to lr."""
    limit: float = Field(0.67, ge=0, le=1)
    """The largest relative change."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Which noise."""
    begin: Duration | None = None
    """Where the noise begins; null for the first step."""

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
            begin=0 if self.begin is None else run.steps_or_one(self.begin),
        )


class PerEpoch(Modifier):
    """
    A schedule that is asked once per epoch; its lr holds for the whole of it.

    ::

        f(t) = schedule(floor(t / steps_per_epoch))

    Inside it an epoch is one step: plain numbers count epochs.

    References:
        MindSpore 2.10 dynamic_lr lists; every scheduler whose step() is called once per epoch.
    """

    # Its values change where epochs of the run begin.
    AFTER: ClassVar[After] = "overlap"
    EXAMPLE: ClassVar[Example] = {"schedule": COSINE}
    VARIANTS: ClassVar[Variants] = {"cosine": COSINE}

    kind: Literal["per_epoch"]

    def inner(self, run: RunLength) -> RunLength:
        """Return the epochs of the run as steps, a last short one counted."""
        return RunLength(-(-run.total_steps // run.steps_per_epoch), 1)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return per_epoch(self._inner_curve(lr, run), steps_per_epoch=run.steps_per_epoch)


class Shift(Modifier):
    """
    A schedule that is entered later: what came before *by* is left out.

    ::

        f(t) = schedule(t + by)

    References:
        Paddle 3.3.1 last_epoch (by = last_epoch + 1): a run taken over from elsewhere.
    """

    EXAMPLE: ClassVar[Example] = {"schedule": COSINE, "by": 100}

    kind: Literal["shift"]
    by: Duration
    """Steps to leave out."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Yield also no steps to leave out."""
        yield from super().problems_in(run)
        yield from at_least_a_step("by", self.by, run)

    def inner(self, run: RunLength) -> RunLength:
        """Return the whole, the steps left out included."""
        return RunLength(run.total_steps + run.steps(self.by), run.steps_per_epoch)

    def parts_in(self, run: RunLength) -> Iterator[tuple[ScheduleSpec, RunLength]]:
        """Yield the inner schedule with the steps left out."""
        # At most: a formula never computes the steps left out, a recursion in float32 does.
        yield self.schedule, self.inner(run)

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return what is left of the rise after the steps left out."""
        # Not super(): a Modifier adds the whole rise of its inner schedule.
        own = ScheduleSpec.num_warmup_steps(self, run)
        whole = self.schedule.num_warmup_steps(self.inner(run))
        left = max(0, whole - run.steps(self.by))
        return min(run.total_steps, own + left)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return shift(self._inner_curve(lr, run), by=run.steps_or_one(self.by))


def cycle(curve: Curve, *, length: int, factor: float) -> Curve:
    """Return f(t) = curve(t mod length) * factor ** floor(t / length)."""

    def f(t: Array) -> Array:
        again = np.floor(t / length)
        lr = curve(t - again * length)
        return lr if factor == 1 else lr * DOUBLE.power(factor, again)

    return f


def scale(curve: Curve, *, factor: float) -> Curve:
    """Return f(t) = curve(t) * factor."""
    return lambda t: curve(t) * factor


def clamp(curve: Curve, *, low: float, high: float | None) -> Curve:
    """Return f(t) = min(max(curve(t), low), high)."""
    return lambda t: np.clip(curve(t), low, high)


def noise(curve: Curve, *, std: float, limit: float, seed: int, begin: int) -> Curve:
    """Return f(t) = curve(t) * (1 + n), n normal and within -limit..limit, from *begin* on."""

    def f(t: Array) -> Array:
        # timm draws again until |n| < limit; here a step has one draw, which is clipped.
        relative = np.clip(std * normal(seed, t), -limit, limit)
        return np.asarray(curve(t) * (1 + np.where(t < begin, 0.0, relative)))

    return f


def per_epoch(curve: Curve, *, steps_per_epoch: int) -> Curve:
    """Return f(t) = curve(floor(t / steps_per_epoch))."""
    return lambda t: curve(np.floor(t / steps_per_epoch))


def shift(curve: Curve, *, by: int) -> Curve:
    """Return f(t) = curve(t + by)."""
    return lambda t: curve(t + by)
