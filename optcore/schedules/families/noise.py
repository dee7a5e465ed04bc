"""Random noise on a schedule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from optcore.schedules.base import (
    Example,
    RunProblem,
    Variants,
    at_least_a_step,
)
from optcore.schedules.dialects import Dialectal, ScheduleDialect, by_dialect
from optcore.schedules.families.modifiers import COSINE, Modifier
from optcore.schedules.numerics.mersenne import normal_within, uniform
from optcore.schedules.numerics.numbers import Array, Curve
from optcore.schedules.numerics.random import normal
from optcore.spec.base import Spec
from optcore.spec.duration import MAX_STEPS, Duration, RunLength, counted
from optcore.spec.errors import reject


class Noise(Modifier, Dialectal):
    """
    A schedule with random noise n, which depends only on the seed and the step t.

    ::

        begin <= t < end:  f(t) = schedule(t) * (1 + n)
        every other t:     f(t) = schedule(t)

    In the plain dialect, n is std * z, limited to the range -limit..limit. z is a standard normal
    number that depends only on *seed* and t.

    In dialect timm, n is 0 at t = 0. At every other t, n comes from a generator of torch with the
    seed *seed* + t. The generator draws standard normal numbers until one of them, z, has
    abs(std * z) < limit, and n is std * z. With *distribution* uniform, n is the generator's first
    uniform number, scaled to -limit..limit.

    A resumed run has the same noise, and so the same lr.

    References:
        timm 1.0.31 lr_noise (begin and end are its range), noise_std, noise_pct (limit) and
        noise_seed.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("timm",)
    LATER: ClassVar[frozenset[str]] = frozenset({"dialect", "precision", "end", "distribution"})
    STARTS_AT_LR: ClassVar[bool] = False
    EXAMPLE: ClassVar[Example] = {"schedule": COSINE, "std": 0.05, "begin": 100}
    VARIANTS: ClassVar[Variants] = {
        "dialect timm, end 300": {
            "schedule": COSINE,
            "dialect": "timm",
            "std": 0.05,
            "begin": 100,
            "end": 300,
        }
    }

    kind: Literal["noise"]
    std: float = Field(ge=0, le=10)
    """The standard deviation of the noise, relative to lr; timm's default is 1."""
    limit: float = Field(0.67, ge=0, le=1)
    """The largest change of lr by the noise, relative to lr."""
    seed: int = by_dialect(0, timm=42, ge=0, lt=2**63)
    """The seed of the noise."""
    begin: Duration | None = None
    """The first step with noise; null for the first step of the run."""
    end: Duration | None = None
    """The first step after the noise; null for noise to the end of the run."""
    distribution: Literal["normal", "uniform"] = "normal"
    """Distribution of the noise. uniform exists only in dialect timm, and does not use std."""

    @model_validator(mode="after")
    def _draws_end(self) -> Self:
        if self.distribution == "uniform" and self.dialect != "timm":
            rule = f"distribution must be normal in dialect {self.dialect}, got uniform"
            reject(["distribution"], rule, self.distribution)
        # timm draws until the noise is small enough; with a lower limit, nearly every draw fails.
        if self.dialect == "timm" and not max(self.std / 100, 1e-300) <= self.limit:
            reject(
                ["limit"],
                f"limit must be positive and at least a hundredth of std in dialect timm, got "
                f"{self.limit} for std {self.std}: timm draws again until the noise is below limit",
                self.limit,
            )
        return self

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *begin* rounds to 0 steps, or if *end* is not after *begin*."""
        yield from super().problems_in(run)
        yield from at_least_a_step("begin", self.begin, run)
        begin = 0 if self.begin is None else self.moment(self.begin, run)
        if self.end is not None and self.moment(self.end, run) <= begin:
            yield RunProblem(
                ("end",),
                f"end must be after begin, got {run.in_words(self.end)} after "
                f"{counted(begin, 'step')}",
                self.end,
            )

    def cost(self, run: RunLength) -> int:
        """Return the cost, which is higher in dialect timm, where each step seeds a generator."""
        # Measured for a million steps: 0.2 s where the first draw is small enough, 0.3 s with the
        # std 1 of timm, 1 s where std is 7 times the limit, 70 s where it is 100 times the limit.
        return super().cost(run) + (200 * run.total_steps if self.dialect == "timm" else 0)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        begin = 0 if self.begin is None else self.moment(self.begin, run) or 1
        end = math.inf if self.end is None else self.moment(self.end, run)
        inner = self._inner_curve(lr, run)
        if self.dialect == "timm":
            return timm_noise(
                inner,
                std=self.std if self.distribution == "normal" else None,
                limit=self.limit,
                seed=self.seed,
                begin=max(begin, 1),
                end=end,
            )
        return noise(inner, std=self.std, limit=self.limit, seed=self.seed, begin=begin, end=end)


class PlateauNoise(Spec):
    """
    The noise in timm's PlateauLRScheduler, computed as in the schedule noise in dialect timm.

    Here the noise depends on the epoch, not on the step.

    References:
        timm 1.0.31 noise_range_t (begin and end), noise_std, noise_pct (limit), noise_seed.
    """

    std: float = Field(1.0, ge=0, le=10)
    """The standard deviation of the noise, relative to lr."""
    limit: float = Field(0.67, gt=0, le=1)
    """The bound on the noise, relative to lr; at least a hundredth of std."""
    seed: int = Field(42, ge=0, lt=2**63)
    """The seed of the noise."""
    begin: int | None = Field(None, ge=1, le=MAX_STEPS)
    """The first epoch with noise; null for the first epoch of the run."""
    end: int | None = Field(None, ge=1, le=MAX_STEPS)
    """The first epoch after the noise; null for noise to the end of the run."""
    distribution: Literal["normal", "uniform"] = "normal"
    """Distribution of the noise; uniform does not use std."""

    @model_validator(mode="after")
    def _draws_end(self) -> Self:
        if self.std > 100 * self.limit:
            rule = "limit must be at least a hundredth of std"
            reject(["limit"], f"{rule}, got {self.limit} for std {self.std}", self.limit)
        return self

    def on(self, curve: Curve, *, first: int) -> Curve:
        """
        Return *curve* with this noise from epoch max(*first*, `begin`) on.

        A `begin` of null counts as 0.
        """
        return timm_noise(
            curve,
            std=self.std if self.distribution == "normal" else None,
            limit=self.limit,
            seed=self.seed,
            begin=max(first, self.begin or 0),
            end=math.inf if self.end is None else self.end,
        )


def noise(
    curve: Curve, *, std: float, limit: float, seed: int, begin: float, end: float = math.inf
) -> Curve:
    """Return *curve*, multiplied by 1 + n from *begin* to *end*; `Noise` defines n."""

    def f(t: Array) -> Array:
        quiet = (t < begin) | (t >= end)
        if quiet.all():
            return curve(t)
        factors = normal(seed, t)
        factors *= std
        # timm draws again until |n| < limit; here each step has one draw, which is clipped.
        np.clip(factors, -limit, limit, out=factors)
        factors[quiet] = 0.0
        factors += 1
        return curve(t) * factors

    return f


def timm_noise(
    curve: Curve, *, std: float | None, limit: float, seed: int, begin: float, end: float
) -> Curve:
    """Return *curve* with timm's noise from *begin* to *end*; *std* is None for uniform noise."""

    def f(t: Array) -> Array:
        lr = np.array(curve(t), np.float64)
        noisy = (t >= begin) & (t < end)
        if not noisy.any():
            return lr
        # Drawn once per distinct t: a curve over epochs gets each epoch many times.
        steps, at = _distinct(t[noisy].astype(np.uint64))
        seeds = steps + np.uint64(seed)
        if std is None:
            drawn = 2 * (uniform(seeds) - 0.5) * limit
        else:
            drawn = normal_within(seeds, std=std, limit=limit)
        # In timm's order of operations.
        lr[noisy] += lr[noisy] * drawn[at]
        return lr

    return f


def _distinct(steps: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.intp] | slice]:
    """Return the distinct values in *steps*, and the index of each step among these values."""
    if (steps[1:] > steps[:-1]).all():
        return steps, slice(None)
    return np.unique(steps, return_inverse=True)
