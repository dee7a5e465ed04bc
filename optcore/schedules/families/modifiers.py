"""Schedules that change one inner schedule: scale, clamp, per_epoch and shift."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from optcore.schedules.base import (
    Example,
    Fraction,
    Rate,
    RunProblem,
    ScheduleSpec,
    Variants,
    at_least_a_step,
    below,
)
from optcore.schedules.numerics.numbers import Curve
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
            rule = f"max must be at least min, which is {self.min}"
            reject(["max"], f"{rule}, got {self.max}", self.max)
        return self

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return clamp(self._inner_curve(lr, run), low=self.min, high=self.max)


class PerEpoch(Modifier):
    """
    A schedule that is computed once per epoch, with one lr for the whole epoch.

    ::

        f(t) = schedule(floor(t / steps_per_epoch))

    In the inner schedule an epoch is one step, so durations given as plain numbers count epochs.

    References:
        MindSpore 2.10 dynamic_lr lists; every scheduler whose step() is called once per epoch.
    """

    # Values change at the beginning of the run's epochs, which a warmup must not move.
    AFTER: ClassVar[After] = "overlap"
    EXAMPLE: ClassVar[Example] = {"schedule": COSINE}
    VARIANTS: ClassVar[Variants] = {"cosine": COSINE}

    kind: Literal["per_epoch"]

    @model_validator(mode="after")
    def _counts_epochs(self) -> Self:
        reject_per_batch(self.schedule, "per_epoch (which counts epochs)")
        return self

    def inner(self, run: RunLength) -> RunLength:
        """Return the number of epochs, including an incomplete one, as the length of the run."""
        return RunLength(-(-run.total_steps // run.steps_per_epoch), 1)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return per_epoch(self._inner_curve(lr, run), steps_per_epoch=run.steps_per_epoch)


class Shift(Modifier):
    """
    A schedule without its first *by* steps.

    ::

        f(t) = schedule(t + by)

    Use shift to continue a run that was begun elsewhere and ended after *by* steps. In Paddle, the
    schedulers of such a run have a last_epoch, which is by - 1.

    With a last_epoch, three of Paddle's schedulers differ from shift.

    For CosineAnnealingDecay and LinearLR, learning_rate is the lr at t = last_epoch, not at t = 0.
    Choose the optimizer's lr so that the inner schedule is equal to learning_rate at
    t = last_epoch. Once CosineAnnealingDecay rises again, it differs from shift all the same.

    CosineAnnealingWarmRestarts counts at most one restart per step. If more than one restart lies
    in the steps up to t = by, it differs from shift until it has counted all of them.

    References:
        Paddle 3.3.1 last_epoch (by = last_epoch + 1).
    """

    EXAMPLE: ClassVar[Example] = {"schedule": COSINE, "by": 100}

    kind: Literal["shift"]
    by: Duration
    """The length of the beginning that is left out."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *by* rounds to 0 steps."""
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
        # 0.2.0 counts a duration that it rounds to 0 as one step.
        return shift(self._inner_curve(lr, run), by=run.span(self.by) or 1)


def reject_per_batch(schedule: ScheduleSpec, outer: str) -> None:
    """
    Raise an error if *schedule* is or contains a per_batch.

    *outer* says in words which schedule contains *schedule*.
    """
    if any(part.kind == "per_batch" for part in schedule.walk()):
        reject(
            ["schedule"],
            f"schedule inside a {outer} must not be or contain a per_batch, got {schedule.kind}",
            schedule.kind,
        )


def scale(curve: Curve, *, factor: float) -> Curve:
    """Return f(t) = curve(t) * factor."""
    return lambda t: curve(t) * factor


def clamp(curve: Curve, *, low: float, high: float | None) -> Curve:
    """Return f(t) = min(max(curve(t), low), high)."""
    return lambda t: np.clip(curve(t), low, high)


def per_epoch(curve: Curve, *, steps_per_epoch: int) -> Curve:
    """Return f(t) = curve(floor(t / steps_per_epoch))."""
    return lambda t: curve(np.floor(t / steps_per_epoch))


def shift(curve: Curve, *, by: float) -> Curve:
    """Return f(t) = curve(t + by)."""
    return lambda t: curve(t + by)
