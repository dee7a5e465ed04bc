"""Polynomial decay: lr falls to its end value as a power of the remaining time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import (
    Example,
    Rate,
    RunProblem,
    Variants,
)
from optcore.schedules.dialects import ScheduleDialect, by_dialect
from optcore.schedules.families.annealing import Fall, between, no_k_decay
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers
from optcore.schedules.numerics.recursion import SINGLE, Single, products
from optcore.spec.duration import RunLength, counted
from optcore.spec.errors import reject


class Polynomial(Fall):
    """
    A fall from lr to *end* as a power of the remaining time; lr then stays at *end*.

    e is *end*, or lr * *end_fraction* if *end_fraction* is given::

        f(t) = e + (lr - e) * (1 - min(t, length) / length) ** power
        cycle: f(t) = e + (lr - e) * (1 - t / (k * length)) ** power, k = max(1, ceil(t / length))

    With *cycle*, lr reaches its end at every t = k * length, and restarts one step later.

    With *k_decay* d, t / length becomes t ** d / length ** d. With *begin*, lr is constant before
    the step *begin*, and the formula counts t from that step.

    References:
        torch 2.13 PolynomialLR (no end, no cycle); Paddle 3.3.1 PolynomialDecay; TF 2.21
        tf.compat.v1.train.polynomial_decay; Keras 3.15.1 PolynomialDecay; MindSpore 2.10
        PolynomialDecayLR and polynomial_decay_lr; PaddleOCR Linear and DecayLearningRate (which
        ignores its end_lr: the end is always 0); transformers 5.24
        get_polynomial_decay_schedule_with_warmup; optax 0.2.8 polynomial_schedule (begin is
        transition_begin); timm 1.0.31 PolyLRScheduler (its cycles: `cycle`).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = (
        "torch",
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "tf1",
        "transformers",
        "optax",
        "timm",
    )
    LATER: ClassVar[frozenset[str]] = frozenset({"begin", "k_decay"})
    EXAMPLE: ClassVar[Example] = {"power": 2.0}
    VARIANTS: ClassVar[Variants] = {
        "begin 100": {"power": 2.0, "begin": 100},
        "power 0.5": {"power": 0.5},
        "length 80, cycle": {"length": 80, "cycle": True},
    }

    kind: Literal["polynomial"]
    end: Rate = by_dialect(0.0, paddle=1e-4, keras=1e-4, tf1=1e-4, transformers=1e-7, ge=0)
    """The lr at the end of the fall, as an absolute value."""
    power: float = by_dialect(1.0, timm=0.5, gt=0, le=1000)
    """The exponent: 1 gives a straight line, and above 1 the fall is fast at first."""
    cycle: bool = False
    """Whether lr restarts after each length, from a lower value and more slowly each time,
    instead of staying at its end."""
    k_decay: float = Field(1.0, gt=0, le=1000)
    """The exponent of t / length. lr falls later if the exponent is above 1, and earlier if it is
    below 1. Only in dialects plain and timm."""

    @model_validator(mode="after")
    def _k_decay_exists(self) -> Self:
        no_k_decay(self, self.k_decay)
        return self

    @model_validator(mode="after")
    def _k_decay_has_one_fall(self) -> Self:
        if self.cycle and self.k_decay != 1:
            reject(
                ["k_decay"],
                f"k_decay must be 1 if cycle is true, got {self.k_decay}",
                self.k_decay,
            )
        return self

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if transformers would divide by 0 in the run."""
        yield from super().problems_in(run)
        length = self.own_length(run)
        if self.dialect != "transformers" or not self._warmup_fills(run):
            return
        assert self.warmup is not None
        if self.warmup_span(run) == length < run.total_steps:
            yield RunProblem(
                ("warmup", "length"),
                f"length must not be the length of the schedule, {counted(length, 'step')}, in a "
                f"longer run: transformers divides by 0 at step {length}",
                self.warmup.length,
            )

    def peak(self, lr: float) -> float | None:
        """Return lr, to which a warmup rises in dialects transformers and optax."""
        return lr

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return self.behind_start(self._fall(lr, self.own_length(run)), run)

    def _fall(self, lr: float, length: float) -> Curve:
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

    `Polynomial` documents how *cycle* and *k_decay* change the formula.
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
    """Return lr * (1 - min(t, length) / length) ** power, by torch's recursion in float32."""
    n, one = np.float32(length), np.float32(1)

    def factors(t: Single) -> Single:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (one - t / n) / (one - (t - one) / n)
        # Replaced before the power: after the end a ratio may be infinite.
        found = SINGLE.power(np.where(t > n, one, ratio), np.float32(power))
        return np.asarray(found, np.float32)

    return products(lr, factors)
