"""Schedules that change at given steps: constant, staircases, and lists of values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from optcore.schedules.base import (
    Dialectal,
    Fraction,
    Misfit,
    Rate,
    ScheduleDialect,
    ScheduleSpec,
    at_least_a_step,
    by_dialect,
    counted,
    finite_power,
    in_words,
)
from optcore.schedules.warmup import After
from optcore.spec.duration import MAX_STEPS, Duration, Epochs, steps_in
from optcore.spec.duration import _form as duration_form
from optcore.spec.errors import TAG, reject
from optcore.spec.limits import MAX_ENTRIES, MAX_VALUES

Moment = Annotated[
    Annotated[int, Field(ge=0, le=MAX_STEPS), Tag(f"{TAG}steps")]
    | Annotated[Epochs, Tag(f"{TAG}epochs")],
    Discriminator(duration_form),
]
"""A point in the run: the step 0, 1, ..., or a number of epochs."""


class Constant(Dialectal):
    """
    The same lr at every step, or a part of it for a while.

    ::

        t <  length:  f(t) = lr * factor
        t >= length:  f(t) = lr

    Without *length*, the factor holds for the whole run.

    References:
        torch 2.13 ConstantLR(factor, total_iters); PaddleOCR Const; MindSpore 2.10 WarmUpLR (behind
        a delaying warmup).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddleocr", "mindspore")

    kind: Literal["constant"]
    factor: Fraction = 1.0
    """Part of lr that is used."""
    length: Duration | None = None
    """How long; null for the whole run."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a length of no steps."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        yield from at_least_a_step("length", self.length, steps_per_epoch)


class Step(Dialectal):
    """
    A staircase: lr is multiplied by *gamma* every *every* steps.

    ::

        f(t) = lr * gamma ** floor(t / every)

    References:
        torch 2.13 StepLR; Paddle 3.3.1 StepDecay; PaddleOCR Step.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle", "paddleocr")
    AFTER: ClassVar[After] = "overlap"

    kind: Literal["step"]
    every: Duration
    """Length of a stair."""
    gamma: float = Field(0.1, gt=0)
    """Factor from stair to stair."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a stair of no steps, and lr growing beyond all bounds."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        yield from at_least_a_step("every", self.every, steps_per_epoch)
        stairs = total_steps / max(1, steps_in(self.every, steps_per_epoch))
        yield from finite_power("gamma", self.gamma, stairs)

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield that the run ends on the first stair."""
        first = self.offset(steps_per_epoch) + steps_in(self.every, steps_per_epoch)
        if first >= total_steps:
            yield (
                f"schedule.every: lr never changes: its first stair ends after "
                f"{counted(first, 'step')}, the run after {total_steps}"
            )


class MultiStep(Dialectal):
    """
    A staircase with its edges where you put them: each multiplies lr by *gamma*.

    ::

        f(t) = lr * gamma ** (number of milestones <= t)

    A milestone given twice counts twice.

    References:
        torch 2.13 MultiStepLR; Paddle 3.3.1 MultiStepDecay; PaddleOCR MultiStepDecay.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle", "paddleocr")
    AFTER: ClassVar[After] = "overlap"

    kind: Literal["multi_step"]
    milestones: list[Moment] = Field(min_length=1, max_length=MAX_ENTRIES)
    """First step of each stair; must not decrease."""
    gamma: float = Field(0.1, gt=0)
    """Factor from stair to stair."""

    @property
    def num_moments(self) -> int:
        """How many milestones there are."""
        return len(self.milestones)

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also milestones that decrease."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        before = 0
        for i, milestone in enumerate(self.milestones):
            step = steps_in(milestone, steps_per_epoch)
            if step < before:
                yield Misfit(
                    ("milestones", i),
                    f"milestones must not decrease, got {in_words(milestone, steps_per_epoch)} "
                    f"after {before} steps",
                    milestone,
                )
            before = step
        yield from finite_power("gamma", self.gamma, len(self.milestones))

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield the milestones that the run does not reach."""
        yield from unreached(self, "milestones", self.milestones, total_steps, steps_per_epoch)


class Piecewise(Dialectal):
    """
    Given values between given boundaries; the optimizer's own lr is not used.

    ::

        new:  f(t) = values[number of boundaries <= t]
        old:  f(t) = values[number of boundaries <  t]

    At a boundary the new value holds, as in Paddle, MindSpore, optax and torch; in TF1 and Keras
    the old one still does and lr changes one step later.

    References:
        Paddle 3.3.1 PiecewiseDecay; MindSpore 2.10 piecewise_constant_lr; TF 2.21
        tf.compat.v1.train.piecewise_constant; Keras 3.15.1 PiecewiseConstantDecay.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = (
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "tf1",
    )
    AFTER: ClassVar[After] = "overlap"

    kind: Literal["piecewise"]
    boundaries: list[Moment] = Field(min_length=1, max_length=MAX_ENTRIES)
    """Where the value changes, increasing."""
    values: list[Rate] = Field(min_length=2, max_length=MAX_ENTRIES + 1)
    """lr before, between and after the boundaries: one more than there are boundaries."""
    at_boundary: Literal["new", "old"] = by_dialect("new", keras="old", tf1="old")
    """Which value holds at the boundary itself."""

    @model_validator(mode="after")
    def _one_value_more(self) -> Self:
        expected = len(self.boundaries) + 1
        if len(self.values) != expected:
            reject(
                ["values"],
                f"values must have one entry more than boundaries: {expected} for "
                f"{len(self.boundaries)} boundaries, got {len(self.values)}",
                self.values,
            )
        return self

    @property
    def uses_lr(self) -> bool:
        """Whether the optimizer's own lr matters."""
        return False

    @property
    def num_moments(self) -> int:
        """How many boundaries there are."""
        return len(self.boundaries)

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also boundaries that do not increase."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        # The first value holds for at least one step: from boundary 1 on, or 0 where it is old.
        before = 0 if self.at_boundary == "new" else -1
        for i, boundary in enumerate(self.boundaries):
            step = steps_in(boundary, steps_per_epoch)
            if step <= before:
                yield Misfit(
                    ("boundaries", i),
                    f"boundaries must increase, got {in_words(boundary, steps_per_epoch)} "
                    f"after {max(0, before)} steps",
                    boundary,
                )
            before = step

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield the boundaries that the run does not reach."""
        yield from unreached(self, "boundaries", self.boundaries, total_steps, steps_per_epoch)


class Multiplicative(Dialectal):
    """
    A factor for every step: each multiplies what came before.

    ::

        f(t) = lr * factors[0] * factors[1] * ... * factors[t - 1]

    After the last factor lr stays.

    References:
        torch 2.13 MultiplicativeLR; Paddle 3.3.1 MultiplicativeDecay.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle")

    kind: Literal["multiplicative"]
    factors: list[Annotated[float, Field(ge=0)]] = Field(
        min_length=1, max_length=MAX_VALUES, fail_fast=True
    )
    """factors[i] is applied before update i + 1."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a product that overflows."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        if max(self.factors) > 1:  # else it never rises
            yield from finite_power("factors", math.e, self._log_of_largest(total_steps))

    def _log_of_largest(self, total_steps: int) -> float:
        largest = running = 0.0
        for factor in self.factors[:total_steps]:
            running = running + math.log(factor) if factor else -math.inf
            largest = max(largest, running)
        return largest


class Values(ScheduleSpec):
    """
    The lr of every step, spelled out.

    ::

        f(t) = values[t]                relative: f(t) = lr * values[t]

    For what no formula here says: a lambda of another library becomes its list.

    References:
        torch 2.13 LambdaLR; Paddle 3.3.1 LambdaDecay; MindSpore 2.10 learning-rate lists.
    """

    AFTER: ClassVar[After] = "overlap"

    kind: Literal["values"]
    values: list[Rate] = Field(min_length=1, max_length=MAX_VALUES, fail_fast=True)
    """One per step of the run."""
    relative: bool = False
    """Whether they are fractions of lr; else the optimizer's own lr is not used."""

    @property
    def uses_lr(self) -> bool:
        """Whether the optimizer's own lr matters."""
        return self.relative

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a list that is not as long as the run."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        if len(self.values) != total_steps:
            yield Misfit(
                ("values",),
                f"values must have one entry per step of the run: {total_steps}, "
                f"got {len(self.values)}",
                self.values,
            )


def unreached(
    spec: ScheduleSpec,
    name: str,
    moments: list[int | Epochs],
    total_steps: int,
    steps_per_epoch: int,
) -> Iterator[str]:
    """Yield the *moments*, in the field *name*, that the run ends before."""
    for i, moment in enumerate(moments):
        step = spec.offset(steps_per_epoch) + steps_in(moment, steps_per_epoch)
        if step >= total_steps:
            yield (
                f"schedule.{name}[{i}]: step {step} is never reached in a run of "
                f"{counted(total_steps, 'step')}"
            )
