"""Step decay: lr is multiplied by a factor at regular intervals or at given milestones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from optcore.schedules.base import Example, RunProblem, at_least_a_step, finite_power
from optcore.schedules.dialects import Dialectal, ScheduleDialect
from optcore.schedules.families.piecewise import piecewise, unreached
from optcore.schedules.numerics.numbers import DOUBLE, Curve
from optcore.schedules.numerics.recursion import Single, products
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, Moment, RunLength, counted
from optcore.spec.limits import MAX_ENTRIES


class Step(Dialectal):
    """
    A staircase: lr is multiplied by *gamma* after each period of *every* steps.

    ::

        f(t) = lr * gamma ** floor(t / every)

    Dialect timm computes t // every in place of floor(t / every), as timm does. With Python's
    floats the result may be one less: 13 // 2.6 is 4, although 13 / 2.6 is 5.

    Dialect paddleocr rounds *every* down to whole steps, as PaddleClas does. PaddleOCR accepts only
    whole epochs.

    References:
        torch 2.13 StepLR; Paddle 3.3.1 StepDecay; Step of PaddleOCR and PaddleClas; timm 1.0.31
        StepLRScheduler.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle", "paddleocr", "timm")
    # The stairs begin at steps of the run, which a warmup must not move.
    AFTER: ClassVar[After] = "overlap"
    EXAMPLE: ClassVar[Example] = {"every": {"epochs": 4}, "gamma": 0.6}

    kind: Literal["step"]
    every: Duration
    """The length of a stair."""
    gamma: float = Field(0.1, gt=0)
    """The factor for lr from one stair to the next."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *every* rounds to 0 steps, or if lr overflows during the run."""
        yield from super().problems_in(run)
        yield from at_least_a_step("every", self.every, run)
        drops = run.total_steps / run.span(self.every)
        yield from finite_power("gamma", self.gamma, drops)

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning if the run ends on the first stair."""
        yield from super().warnings_in(run)
        every = self._every(run)
        if self.dialect == "paddleocr" and every != run.span(self.every):
            yield (
                f"schedule.every: {run.in_words(self.every)} is rounded down to "
                f"{counted(every, 'step')}"
            )
        first = self.offset(run) + every
        if first >= run.total_steps:
            yield (
                f"schedule.every: lr never changes: its first stair ends after "
                f"{counted(first, 'step')}, the run after {run.total_steps}"
            )

    def _formula(self, lr: float, run: RunLength) -> Curve:
        every = self._every(run)
        if self.recursive:
            return recursive_step(lr=lr, every=every, gamma=self.gamma)
        return step(lr=lr, every=every, gamma=self.gamma, floor_divides=self.dialect == "timm")

    def _every(self, run: RunLength) -> float:
        """Return the length of a stair in steps, rounded as the dialect's framework rounds it."""
        every = self.moment(self.every, run)
        return max(1, int(every)) if self.dialect == "paddleocr" else every


class MultiStep(Dialectal):
    """
    A staircase with given edges: lr is multiplied by *gamma* at each milestone.

    ::

        f(t)       = lr * gamma ** (number of milestones <= t)
        timm: f(t) = lr * gamma ** (number of milestones <= t + 1)

    A milestone given twice counts twice. Dialect timm changes lr one step before each milestone, as
    timm does on purpose.

    References:
        torch 2.13 MultiStepLR; Paddle 3.3.1 MultiStepDecay; PaddleOCR MultiStepDecay; timm 1.0.31
        MultiStepLRScheduler.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle", "paddleocr", "timm")
    # The stairs begin at steps of the run, which a warmup must not move.
    AFTER: ClassVar[After] = "overlap"
    EXAMPLE: ClassVar[Example] = {"milestones": [100, 300], "gamma": 0.3}

    kind: Literal["multi_step"]
    milestones: list[Moment] = Field(min_length=1, max_length=MAX_ENTRIES, fail_fast=True)
    """The first step of each stair after the first stair; must not decrease."""
    gamma: float = Field(0.1, gt=0)
    """The factor for lr from one stair to the next."""

    @property
    def num_boundaries(self) -> int:
        """The number of milestones."""
        return len(self.milestones)

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem for a milestone before the previous one, or if lr overflows."""
        yield from super().problems_in(run)
        before = 0.0
        for i, milestone in enumerate(self.milestones):
            step = self.moment(milestone, run)
            if step < before:
                yield RunProblem(
                    ("milestones", i),
                    f"milestones must not decrease, got {run.in_words(milestone)} "
                    f"after {counted(before, 'step')}",
                    milestone,
                )
            before = step
        yield from finite_power("gamma", self.gamma, len(self.milestones))

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning for each milestone that the run does not reach."""
        yield from super().warnings_in(run)
        yield from unreached(self, "milestones", self.milestones, run)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        make = recursive_multi_step if self.recursive else multi_step
        milestones = [self.moment(milestone, run) for milestone in self.milestones]
        early = 1 if self.dialect == "timm" else 0
        at = [milestone - early for milestone in milestones]
        return make(lr=lr, milestones=at, gamma=self.gamma)


def step(*, lr: float, every: float, gamma: float, floor_divides: bool = False) -> Curve:
    """
    Return f(t) = lr * gamma ** floor(t / every).

    With *floor_divides*, the exponent is t // every, which may be one less than the floor.
    """
    if floor_divides:
        return lambda t: lr * DOUBLE.power(gamma, t // every)
    return lambda t: lr * DOUBLE.power(gamma, np.floor(t / every))


def recursive_step(*, lr: float, every: float, gamma: float) -> Curve:
    """Return the curve in which lr is multiplied by *gamma* once in *every* steps, in float32."""
    if every % 1 == 0:
        return products(lr, lambda t: np.where(t % every == 0, np.float32(gamma), np.float32(1)))

    def factors(t: Single) -> Single:
        # In float64: a stair of 2.4 steps hardly ever begins at a step, so the stairs are counted.
        wide = t.astype(np.float64)
        drops = np.floor(wide / every) - np.floor((wide - 1) / every)
        return np.asarray(np.power(gamma, drops), np.float32)

    return products(lr, factors)


def multi_step(*, lr: float, milestones: Sequence[float], gamma: float) -> Curve:
    """Return f(t) = lr * gamma ** (number of milestones <= t)."""
    levels = [lr * gamma**n for n in range(len(milestones) + 1)]
    return piecewise(boundaries=milestones, values=levels)


def recursive_multi_step(*, lr: float, milestones: Sequence[float], gamma: float) -> Curve:
    """Return the curve in which lr is multiplied by *gamma* at each milestone, in float32."""
    # Sorted for the search. A milestone given twice is one product with gamma ** 2, a power of
    # Python's floats, in MindSpore as in torch.
    steps = np.ceil(np.asarray(milestones, np.float64)).astype(np.int64)
    at, counts = np.unique(steps, return_counts=True)
    powers = {int(t): gamma ** int(n) for t, n in zip(at, counts, strict=True)}
    # A scheduler's constructor calls step(): a milestone at 0 changes the first lr.
    first = float(np.float32(lr) * np.float32(powers.pop(0, 1.0)))
    # After the last milestone the search finds infinity, which no t equals.
    edges = np.asarray([*powers, math.inf])
    levels = np.asarray([*powers.values(), 1.0], np.float32)

    def factors(t: Single) -> Single:
        found = np.searchsorted(edges, t)
        return np.where(edges[found] == t, levels[found], np.float32(1))

    return products(first, factors)
