"""Annealing: lr falls to an end over a length, along a line, a power or a hyperbolic tangent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

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
)
from optcore.schedules.dialects import Dialectal, ScheduleDialect, by_dialect
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers
from optcore.schedules.numerics.recursion import SINGLE, Single, products
from optcore.spec.duration import Duration, RunLength, counted
from optcore.spec.errors import reject


class Annealing(ScheduleSpec):
    """A schedule that falls from lr to an end, which then holds."""

    length: Duration | None = None
    """How long the fall takes; null for the whole run."""
    end: Rate = 0.0
    """lr at the end of the fall, absolute."""
    end_fraction: Fraction | None = None
    """The same as a fraction of lr, instead of end; null for end."""

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        field = type(self).model_fields["end"]
        default = field.get_default(call_default_factory=True, validated_data=dict(self))
        # A spec written out in full holds the default beside the fraction.
        if self.end_fraction is not None and self.end != default:
            reject(
                ["end_fraction"],
                f"end_fraction must not be given together with end, got {self.end_fraction} "
                f"and {self.end}",
                self.end_fraction,
            )
        return self

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Yield also a fall of no steps."""
        yield from super().problems_in(run)
        yield from at_least_a_step("length", self.length, run)

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Yield that the fall is cut off by the end of the run."""
        length = run.steps(self.length)
        over = self.offset(run) + length
        if over > run.total_steps:
            fraction = self.end_fraction
            end = f"{self.end:g}" if fraction is None else f"{fraction:g} of lr"
            yield (
                f"schedule: lr never reaches its end of {end}: the fall is over after "
                f"{counted(over, 'step')}, the run after {run.total_steps}"
            )

    def _ends(self) -> dict[str, Any]:
        return {"end": self.end, "end_fraction": self.end_fraction}

    def absolute_end(self, lr: float) -> float:
        """Return its end, starting from *lr*."""
        return self.end if self.end_fraction is None else lr * self.end_fraction


class Linear(Annealing, Dialectal):
    """
    A straight line from lr to *end*, which then holds.

    Writing s for lr * *start_fraction* and e for *end*, or for lr * *end_fraction*::

        f(t) = s + (e - s) * min(t, length) / length

    References:
        torch 2.13 LinearLR(start_factor, end_factor, total_iters); Paddle 3.3.1 LinearLR.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle")
    EXAMPLE: ClassVar[Example] = {}
    VARIANTS: ClassVar[Variants] = {
        "start_fraction 0.3, end 1": {"start_fraction": 0.3, "end": 1.0}
    }

    kind: Literal["linear"]
    start_fraction: Fraction = 1.0
    """Where the line starts, as a fraction of lr; positive in dialect torch."""

    @model_validator(mode="after")
    def _torch_starts_above_zero(self) -> Self:
        if self.dialect == "torch" and self.start_fraction == 0:
            reject(
                ["start_fraction"],
                f"start_fraction must be positive in dialect torch, whose LinearLR multiplies "
                f"what it finds, got {self.start_fraction}",
                self.start_fraction,
            )
        return self

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return also the steps of a line that climbs to a fraction of lr: torch's warmup."""
        before = super().num_warmup_steps(run)
        climbs = self.end_fraction is not None and self.start_fraction < self.end_fraction
        # A line as long as the run is the schedule itself, not a rise before it.
        if self.length is None or not climbs:
            return before
        return min(run.total_steps, before + run.steps(self.length))

    def _formula(self, lr: float, run: RunLength) -> Curve:
        length = run.steps_or_one(self.length)
        if self.recursive:
            # The fraction as given: lr * fraction / lr may be its neighbour, and lr may be 0.
            factor = self.end / lr if self.end_fraction is None else self.end_fraction
            return recursive_linear(
                lr=lr, length=length, start_factor=self.start_fraction, end_factor=factor
            )
        return linear(lr=lr, length=length, start_fraction=self.start_fraction, **self._ends())


# Annealing first: pydantic takes fields from the last base on, so that `dialect` comes before
# `end`. The other way round, its default would be that of plain in all dialects.
class Polynomial(Annealing, Dialectal):
    """
    A power of the time that is left, from lr down to *end*, which then holds.

    Writing e for *end*, or for lr * *end_fraction*::

        f(t) = e + (lr - e) * (1 - min(t, length) / length) ** power
        cycle: f(t) = e + (lr - e) * (1 - t / (k * length)) ** power, k = max(1, ceil(t / length))

    At t = k * length a cycling schedule is at its end, and restarts one step later.

    References:
        torch 2.13 PolynomialLR (no end, no cycle); Paddle 3.3.1 PolynomialDecay; TF 2.21
        tf.compat.v1.train.polynomial_decay; Keras 3.15.1 PolynomialDecay; MindSpore 2.10
        PolynomialDecayLR and polynomial_decay_lr; PaddleOCR Linear and DecayLearningRate (whose
        end_lr is ignored: its end is always 0).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = (
        "torch",
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "tf1",
    )
    EXAMPLE: ClassVar[Example] = {"power": 2.0}
    VARIANTS: ClassVar[Variants] = {
        "power 0.5": {"power": 0.5},
        "length 80, cycle": {"length": 80, "cycle": True},
    }

    kind: Literal["polynomial"]
    end: Rate = by_dialect(0.0, paddle=1e-4, keras=1e-4, tf1=1e-4, ge=0)
    """lr at the end of the fall, absolute."""
    power: float = Field(1.0, gt=0, le=1000)
    """1 is a line; above, the fall is fast at first."""
    cycle: bool = False
    """Whether it starts again, each time more slowly, instead of holding its end."""

    def _formula(self, lr: float, run: RunLength) -> Curve:
        length = run.steps_or_one(self.length)
        # torch's PolynomialLR has neither end nor cycles: with those there is nothing to copy.
        if self.recursive and self.absolute_end(lr) == 0 and not self.cycle:
            return recursive_polynomial(lr=lr, length=length, power=self.power)
        return polynomial(
            lr=lr,
            length=length,
            power=self.power,
            cycle=self.cycle,
            numbers=self.numbers,
            **self._ends(),
        )


class Tanh(Annealing):
    """
    A hyperbolic tangent from lr down to *end*: flat, steep, flat.

    Writing x for min(t, length) / length and e for *end*, or for lr * *end_fraction*::

        f(t) = e + (lr - e) * (1 - tanh(lower * (1 - x) + upper * x)) / 2    for t < length
        f(t) = e                                                           from then on

    References:
        Hsueh et al., Stochastic Gradient Descent with Hyperbolic-Tangent Decay, 2019.
        https://arxiv.org/abs/1806.01593
        timm 1.0.31 TanhLRScheduler.
    """

    EXAMPLE: ClassVar[Example] = {}
    VARIANTS: ClassVar[Variants] = {"upper 6": {"upper": 6.0}}

    kind: Literal["tanh"]
    lower: float = Field(-7.0, ge=-50, le=50)
    """Argument of tanh at the start."""
    upper: float = Field(3.0, ge=-50, le=50)
    """Argument of tanh at the end; above lower."""

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if not self.lower < self.upper:
            reject(
                ["upper"],
                f"upper must be above lower, got {self.upper} and {self.lower}",
                self.upper,
            )
        return self

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return tanh(
            lr=lr,
            length=run.steps_or_one(self.length),
            lower=self.lower,
            upper=self.upper,
            **self._ends(),
        )


def between(lr: float, end: float, end_fraction: float | None, numbers: Numbers) -> Curve:
    """
    Return the function from the part of the fall that is left (1 to 0) to lr.

    ::

        end + (lr - end) * left
        lr * ((1 - end_fraction) * left + end_fraction)
    """
    if end_fraction is None:
        height, floor = numbers.difference(lr, end), numbers(end)
        return lambda left: np.asarray(floor + height * left)
    # TF and Keras subtract alpha from 1 in Python, so the difference is rounded, not alpha.
    top, rest, part = numbers.lr(lr), numbers(1 - end_fraction), numbers(end_fraction)
    return lambda left: np.asarray(top * (rest * left + part))


def linear(
    *,
    lr: float,
    length: int,
    end: float = 0.0,
    end_fraction: float | None = None,
    start_fraction: float = 1.0,
) -> Curve:
    """Return f(t) = s + (e - s) * min(t, length) / length; s is lr * start_fraction, e the end."""
    start = lr * start_fraction
    stop = end if end_fraction is None else lr * end_fraction
    return lambda t: start + (stop - start) * (np.minimum(t, length) / length)


def recursive_linear(*, lr: float, length: int, start_factor: float, end_factor: float) -> Curve:
    """Return the line from lr * start_factor to lr * end_factor, multiplied as torch does."""
    # In MindSpore these are Python's floats, rounded once, where they meet the step, a tensor.
    rise = np.float32(end_factor - start_factor)
    base = np.float32(length * start_factor)
    first = float(np.float32(lr) * np.float32(start_factor))

    def factors(t: Single) -> Single:
        with np.errstate(divide="ignore", invalid="ignore"):
            # Past an end of 0 it may divide by 0, of which np.where keeps nothing.
            factor = np.float32(1) + rise / (base + (t - np.float32(1)) * rise)
        return np.where(t > length, np.float32(1), factor).astype(np.float32)

    return products(first, factors)


def polynomial(
    *,
    lr: float,
    length: int,
    end: float = 0.0,
    end_fraction: float | None = None,
    power: float = 1.0,
    cycle: bool = False,
    numbers: Numbers = DOUBLE,
) -> Curve:
    """Return f(t) = end + (lr - end) * (1 - min(t, length) / length) ** power."""
    lr_at = between(lr, end, end_fraction, numbers)
    n, one, exponent = numbers(length), numbers(1), numbers(power)

    def f(t: Array) -> Array:
        at = numbers.steps(t)
        if cycle:
            # k would be 0 at t = 0, which TF treats apart, with the same result.
            whole: Any = n * np.maximum(np.ceil(at / n), one)
        else:
            at, whole = np.minimum(at, n), n
        # TF1's graph optimizer turns only divisions by a constant into products.
        part = at / whole if cycle else numbers.share(at, n)
        return lr_at(numbers.power(one - part, exponent))

    return f


def recursive_polynomial(*, lr: float, length: int, power: float) -> Curve:
    """Return the same without an end and cycles, as a product of torch's factors."""
    n, one = np.float32(length), np.float32(1)

    def factors(t: Single) -> Single:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (one - t / n) / (one - (t - one) / n)
        # Replaced before the power: past the end a ratio may be infinite.
        found = SINGLE.power(np.where(t > n, one, ratio), np.float32(power))
        return np.asarray(found, np.float32)

    return products(lr, factors)


def tanh(
    *,
    lr: float,
    length: int,
    end: float = 0.0,
    end_fraction: float | None = None,
    lower: float = -7.0,
    upper: float = 3.0,
) -> Curve:
    """Return a hyperbolic tangent from lr, at t = 0, to the end at t = length."""
    lr_at = between(lr, end, end_fraction, DOUBLE)

    def f(t: Array) -> Array:
        x = t / length
        # At x = 1, (1 - tanh(upper)) / 2 of the fall is left, 0.25 % by default; timm drops it.
        left = (1 - np.tanh(lower * (1 - x) + upper * x)) / 2
        return lr_at(np.where(t < length, left, 0.0))

    return f
