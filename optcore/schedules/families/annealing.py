"""Annealing: lr falls to an end value along a line, a power or a hyperbolic tangent."""

from __future__ import annotations

import math
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
    """Base class for schedules in which lr falls to an end value and then stays there."""

    length: Duration | None = None
    """How long the fall takes; null for the whole run."""
    end: Rate = 0.0
    """The lr at the end of the fall, as an absolute value."""
    end_fraction: Fraction | None = None
    """The lr at the end of the fall as a fraction of lr, which replaces end; null to use end."""

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        field = type(self).model_fields["end"]
        default = field.get_default(call_default_factory=True, validated_data=dict(self))
        # A spec that is written out in full contains the default of end beside the fraction.
        if self.end_fraction is not None and self.end != default:
            reject(
                ["end_fraction"],
                f"end_fraction must not be given together with end, got {self.end_fraction} "
                f"and {self.end}",
                self.end_fraction,
            )
        return self

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *length* comes to 0 steps."""
        yield from super().problems_in(run)
        yield from at_least_a_step("length", self.length, run)

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning if the fall is cut off by the end of the run."""
        yield from super().warnings_in(run)
        over = self.offset(run) + run.span(self.length)
        # Not at a fraction of a step after the end: the run itself is rounded to whole steps.
        if math.floor(over) > run.total_steps:
            fraction = self.end_fraction
            end = f"{self.end:g}" if fraction is None else f"{fraction:g} of lr"
            yield (
                f"schedule: lr never reaches its end of {end}: the fall is over after "
                f"{counted(over, 'step')}, the run after {run.total_steps}"
            )

    def _ends(self) -> dict[str, Any]:
        return {"end": self.end, "end_fraction": self.end_fraction}

    def absolute_end(self, lr: float) -> float:
        """Return the end value of a fall that starts from *lr*."""
        return self.end if self.end_fraction is None else lr * self.end_fraction


class Linear(Annealing, Dialectal):
    """
    A straight line from lr, or a fraction of lr, to *end*; lr then stays at *end*.

    Writing s for lr * *start_fraction* and e for *end*, or for lr * *end_fraction* if that is
    given::

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
    """The start of the line, as a fraction of lr; positive in dialect torch."""

    @model_validator(mode="after")
    def _torch_starts_above_zero(self) -> Self:
        if self.dialect == "torch" and self.start_fraction == 0:
            reject(
                ["start_fraction"],
                f"start_fraction must be positive in dialect torch, whose LinearLR multiplies "
                f"the current lr, got {self.start_fraction}",
                self.start_fraction,
            )
        return self

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return the number of warmup steps, including those of a rising line (torch's warmup)."""
        before = super().num_warmup_steps(run)
        climbs = self.end_fraction is not None and self.start_fraction < self.end_fraction
        # A line as long as the run is the schedule itself, not a rise before it.
        if self.length is None or not climbs:
            return before
        return min(run.total_steps, before + math.ceil(run.span(self.length)))

    def _formula(self, lr: float, run: RunLength) -> Curve:
        length = run.span(self.length)
        if self.recursive:
            # The fraction itself: lr * fraction / lr may be rounded to another number or be 0 / 0.
            factor = self.end / lr if self.end_fraction is None else self.end_fraction
            return recursive_linear(
                lr=lr, length=length, start_factor=self.start_fraction, end_factor=factor
            )
        return linear(lr=lr, length=length, start_fraction=self.start_fraction, **self._ends())


# Annealing first: pydantic takes fields from the last base class first, so that `dialect` comes
# before `end`. In the other order, the default of `end` would be that of plain in all dialects.
class Polynomial(Annealing, Dialectal):
    """
    A fall from lr to *end* by a power of the time that is left; lr then stays at *end*.

    Writing e for *end*, or for lr * *end_fraction* if that is given::

        f(t) = e + (lr - e) * (1 - min(t, length) / length) ** power
        cycle: f(t) = e + (lr - e) * (1 - t / (k * length)) ** power, k = max(1, ceil(t / length))

    With *k_decay* d, t ** d / length ** d stands for t / length. With *cycle*, lr is at its end at
    t = k * length and restarts one step later.

    References:
        torch 2.13 PolynomialLR (no end, no cycle); Paddle 3.3.1 PolynomialDecay; TF 2.21
        tf.compat.v1.train.polynomial_decay; Keras 3.15.1 PolynomialDecay; MindSpore 2.10
        PolynomialDecayLR and polynomial_decay_lr; PaddleOCR Linear and DecayLearningRate (which
        ignores its end_lr: the end is always 0); timm 1.0.31 PolyLRScheduler (its cycles: `cycle`).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = (
        "torch",
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "tf1",
        "timm",
    )
    LATER: ClassVar[frozenset[str]] = frozenset({"k_decay"})
    EXAMPLE: ClassVar[Example] = {"power": 2.0}
    VARIANTS: ClassVar[Variants] = {
        "power 0.5": {"power": 0.5},
        "length 80, cycle": {"length": 80, "cycle": True},
    }

    kind: Literal["polynomial"]
    end: Rate = by_dialect(0.0, paddle=1e-4, keras=1e-4, tf1=1e-4, ge=0)
    """The lr at the end of the fall, as an absolute value."""
    power: float = by_dialect(1.0, timm=0.5, gt=0, le=1000)
    """The exponent: 1 gives a straight line, and above 1 the fall is fast at first."""
    cycle: bool = False
    """Whether lr restarts after each length, from a lower value and more slowly each time,
    instead of staying at its end."""
    k_decay: float = Field(1.0, gt=0, le=1000)
    """The exponent of the part of length that is over: above 1 lr falls later, below 1 earlier. In
    dialects plain and timm."""

    @model_validator(mode="after")
    def _k_decay_exists(self) -> Self:
        no_k_decay(self, self.k_decay)
        return self

    @model_validator(mode="after")
    def _k_decay_has_one_fall(self) -> Self:
        if self.cycle and self.k_decay != 1:
            reject(["k_decay"], f"k_decay must be 1 where cycle is true, got {self.k_decay}", None)
        return self

    def _formula(self, lr: float, run: RunLength) -> Curve:
        length = run.span(self.length)
        # torch's PolynomialLR has neither an end nor cycles: with either there is nothing to copy.
        if self.recursive and self.absolute_end(lr) == 0 and not self.cycle:
            return recursive_polynomial(lr=lr, length=length, power=self.power)
        return polynomial(
            lr=lr,
            length=length,
            power=self.power,
            cycle=self.cycle,
            k_decay=self.k_decay,
            numbers=self.numbers,
            **self._ends(),
        )


def no_k_decay(spec: Dialectal, k_decay: float) -> None:
    """Raise an error if *spec* is in a dialect whose framework has no k-decay, and has one."""
    if k_decay != 1 and spec.dialect not in ("plain", "timm"):
        reject(
            ["k_decay"],
            f"k_decay must be 1 in dialect {spec.dialect}, which has none; use plain or timm, "
            f"got {k_decay}",
            k_decay,
        )


def between(lr: float, end: float, end_fraction: float | None, numbers: Numbers) -> Curve:
    """
    Return the function that gives lr for left, the remaining fraction (1 to 0) of the fall.

    ::

        end + (lr - end) * left                            if end_fraction is None
        lr * ((1 - end_fraction) * left + end_fraction)    otherwise
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
    length: float,
    end: float = 0.0,
    end_fraction: float | None = None,
    start_fraction: float = 1.0,
) -> Curve:
    """Return f(t) = s + (e - s) * min(t, length) / length; s is lr * start_fraction, e the end."""
    start = lr * start_fraction
    stop = end if end_fraction is None else lr * end_fraction
    return lambda t: start + (stop - start) * (np.minimum(t, length) / length)


def recursive_linear(*, lr: float, length: float, start_factor: float, end_factor: float) -> Curve:
    """Return the line from lr * start_factor to lr * end_factor, by torch's products in float32."""
    # In MindSpore these are Python's floats, rounded once, when combined with the step, a tensor.
    rise = np.float32(end_factor - start_factor)
    base = np.float32(length * start_factor)
    first = float(np.float32(lr) * np.float32(start_factor))

    def factors(t: Single) -> Single:
        with np.errstate(divide="ignore", invalid="ignore"):
            # After an end of 0 this may divide by 0; np.where below discards the result.
            factor = np.float32(1) + rise / (base + (t - np.float32(1)) * rise)
        return np.where(t > length, np.float32(1), factor).astype(np.float32)

    return products(first, factors)


def polynomial(
    *,
    lr: float,
    length: float,
    end: float = 0.0,
    end_fraction: float | None = None,
    power: float = 1.0,
    cycle: bool = False,
    k_decay: float = 1.0,
    numbers: Numbers = DOUBLE,
) -> Curve:
    """
    Return f(t) = end + (lr - end) * (1 - min(t, length) / length) ** power.

    With *k_decay*, t and length are raised to that power first.
    """
    lr_at = between(lr, end, end_fraction, numbers)
    n, one, exponent = numbers(length), numbers(1), numbers(power)

    def f(t: Array) -> Array:
        at = numbers.steps(t)
        if cycle:
            # k would be 0 at t = 0. TF handles t = 0 separately, with the same result.
            whole: Any = n * np.maximum(np.ceil(numbers.share(at, n)), one)
        else:
            at, whole = np.minimum(at, n), n
        # TF1's graph optimizer turns only divisions by a constant into products.
        part = at / whole if cycle else numbers.share(at, n)
        if k_decay != 1:
            part = at**k_decay / length**k_decay
        return lr_at(numbers.power(one - part, exponent))

    return f


def recursive_polynomial(*, lr: float, length: float, power: float) -> Curve:
    """Return lr * (1 - min(t, length) / length) ** power, by torch's products in float32."""
    n, one = np.float32(length), np.float32(1)

    def factors(t: Single) -> Single:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (one - t / n) / (one - (t - one) / n)
        # Replaced before the power: after the end a ratio may be infinite.
        found = SINGLE.power(np.where(t > n, one, ratio), np.float32(power))
        return np.asarray(found, np.float32)

    return products(lr, factors)
