"""Decays without a length of their own: exponential, natural exponential and inverse time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

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
from optcore.schedules.families.annealing import delayed, late, never
from optcore.schedules.families.piecewise import constant
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers
from optcore.schedules.numerics.recursion import Single, from_table
from optcore.schedules.warmup import After
from optcore.spec.duration import Moment, RunLength
from optcore.spec.errors import reject

# A float32 multiplied by 0.99 again and again no longer changes after 10,000 products.
SETTLING = 16_384
"""The number of products after which a recursion checks whether lr still changes."""


class Decay(Dialectal):
    """Base class for decays, which apply *rate* once in each period of *every* steps."""

    every: Moment = 1
    """The period in which rate applies once; with 1, rate applies at each step. For exponential in
    dialect optax, the period may be 0: lr then stays at its first value."""
    staircase: bool = False
    """Whether lr changes only once per period, because t / every is rounded down."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *every* rounds to 0 steps."""
        yield from super().problems_in(run)
        if self.dialect != "optax":
            yield from at_least_a_step("every", self.every, run)


class Exponential(Decay):
    """
    Exponential decay: lr is multiplied by *rate* in each period of *every* steps.

    ::

        f(t) = lr * rate ** (t / every)

    With *staircase*, t / every is rounded down. With *begin*, lr is constant before the step
    *begin*, and the formula counts t from that step. With *end*, lr stays at *end* once lr has
    reached it.

    References:
        torch 2.13 ExponentialLR and Paddle 3.3.1 ExponentialDecay (gamma; every = 1); TF 2.21
        tf.compat.v1.train.exponential_decay; Keras 3.15.1 ExponentialDecay; MindSpore 2.10
        ExponentialDecayLR and exponential_decay_lr; optax 0.2.8 exponential_decay and
        warmup_exponential_decay_schedule (every is transition_steps, begin transition_begin).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = (
        "torch",
        "paddle",
        "mindspore",
        "keras",
        "tf1",
        "optax",
    )
    # optax's transition_steps does not contain the warmup.
    AFTERS: ClassVar[Mapping[str, After]] = {"optax": "delay"}
    ONLY_SINGLE: ClassVar[bool] = True
    LATER: ClassVar[frozenset[str]] = frozenset({"begin", "end"})
    EXAMPLE: ClassVar[Example] = {"rate": 0.5, "every": 100}
    VARIANTS: ClassVar[Variants] = {
        "staircase": {"rate": 0.5, "every": 100, "staircase": True},
        "begin 100, end 0.4": {"rate": 0.5, "every": 100, "begin": 100, "end": 0.4},
    }

    kind: Literal["exponential"]
    rate: float = Field(ge=0)
    """The factor for lr in one period of every steps, called gamma in torch and Paddle. The rate
    must be positive. Only in dialect optax it may be 0: lr then stays at its first value."""
    begin: Moment = 0
    """The first step of the decay; lr is constant before it."""
    end: Rate | None = None
    """The lr at which the decay stops: the lowest value, or the highest if rate is at least 1; null
    for a decay that does not stop."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if lr overflows during the run."""
        yield from super().problems_in(run)
        times = run.total_steps / (run.span(self.every) or 1)
        yield from finite_power("rate", self.rate, times)

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning if lr never changes during the run."""
        yield from super().warnings_in(run)
        yield from late("begin", self.begin, self.offset(run), run)
        yield from never("every", self.every)
        if self.rate == 0:
            yield "schedule.rate: lr never leaves its first value, since rate is 0"

    @model_validator(mode="after")
    def _only_optax_has_no_rate(self) -> Self:
        if self.rate == 0 and self.dialect != "optax":
            reject(["rate"], f"rate must be positive, got {self.rate}", self.rate)
        return self

    def _formula(self, lr: float, run: RunLength) -> Curve:
        if self.rate == 0 or self.every == 0:
            return constant(lr=lr, numbers=self.numbers)
        curve = delayed(self._decay(lr, run), begin=run.span(self.begin))
        if self.end is None:
            return curve
        end, stop = self.numbers(self.end), np.maximum if self.rate < 1 else np.minimum
        return lambda t: stop(curve(t), end)

    def _decay(self, lr: float, run: RunLength) -> Curve:
        every = run.span(self.every)
        # torch's ExponentialLR multiplies at every step; for longer periods torch has no schedule.
        if self.recursive and every == 1:
            return recursive_exponential(lr=lr, rate=self.rate)
        return exponential(
            lr=lr, rate=self.rate, every=every, staircase=self.staircase, numbers=self.numbers
        )


class NaturalExponential(Decay):
    """
    Exponential decay with the rate in the exponent.

    ::

        f(t)            = lr * exp(-rate * t / every)
        mindspore: f(t) = lr * exp(-rate * t), and with staircase
                          lr * exp(-rate * every * floor(t / every))

    Without dialect mindspore, *staircase* rounds t / every down. Dialect mindspore has the formula
    that MindSpore computes, which is not the one that MindSpore documents.

    References:
        Paddle 3.3.1 NaturalExpDecay (gamma; every = 1); TF 2.21
        tf.compat.v1.train.natural_exp_decay; MindSpore 2.10 NaturalExpDecayLR and
        natural_exp_decay_lr.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("paddle", "mindspore", "tf1")
    EXAMPLE: ClassVar[Example] = {"rate": 1.0, "every": 100}

    kind: Literal["natural_exponential"]
    # Not negative, so lr never grows and cannot overflow in a long run.
    rate: float = Field(ge=0)
    """The decay constant in the exponent."""

    def unused(self) -> Iterator[tuple[str, str]]:
        """Yield *every*, which dialect mindspore does not use without *staircase*."""
        if self.dialect == "mindspore" and not self.staircase:
            yield "every", "staircase is false: MindSpore computes exp(-rate * t) then"

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return natural_exponential(
            lr=lr,
            rate=self.rate,
            every=run.span(self.every),
            staircase=self.staircase,
            form=self.dialect if self.dialect in ("mindspore", "tf1") else "plain",
            numbers=self.numbers,
        )


class InverseTime(Decay):
    """
    Inverse-time decay: lr divided by a number that grows linearly with t.

    ::

        f(t) = lr / (1 + rate * t / every)

    References:
        Paddle 3.3.1 InverseTimeDecay (gamma; every = 1); TF 2.21
        tf.compat.v1.train.inverse_time_decay; Keras 3.15.1 InverseTimeDecay; MindSpore 2.10
        InverseDecayLR and inverse_decay_lr.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("paddle", "mindspore", "keras", "tf1")
    EXAMPLE: ClassVar[Example] = {"rate": 1.0, "every": 100}

    kind: Literal["inverse_time"]
    rate: float = Field(ge=0)
    """The amount by which the divisor grows in one period of every steps."""

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return inverse_time(
            lr=lr,
            rate=self.rate,
            every=run.span(self.every),
            staircase=self.staircase,
            numbers=self.numbers,
        )


def exponential(
    *, lr: float, rate: float, every: float, staircase: bool, numbers: Numbers = DOUBLE
) -> Curve:
    """Return f(t) = lr * rate ** (t / every)."""
    top, base = numbers.lr(lr), numbers(rate)
    ratio = _ratio(every, staircase, numbers)
    return lambda t: top * numbers.power(base, ratio(t))


def recursive_exponential(*, lr: float, rate: float) -> Curve:
    """Return the curve in which lr is multiplied by *rate* at each t >= 1, in float32."""
    factor = np.float32(rate)

    def table(size: int) -> Single:
        values = np.full(size, factor, np.float32)
        values[0] = lr
        with np.errstate(under="ignore"):
            for start in range(0, size, SETTLING):
                # Includes the previous block's last product, from which accumulate continues.
                block = values[max(0, start - 1) : start + SETTLING]
                block[start > 0 :] = np.multiply.accumulate(block)[start > 0 :]
                # 0, or so small that each product is rounded to the same number: the rest is known.
                if block[-1] * factor == block[-1]:
                    values[start + SETTLING :] = block[-1]
                    break
        return values

    return from_table(table)


def natural_exponential(
    *,
    lr: float,
    rate: float,
    every: float,
    staircase: bool,
    form: Literal["plain", "mindspore", "tf1"] = "plain",
    numbers: Numbers = DOUBLE,
) -> Curve:
    """
    Return f(t) = lr * exp(-rate * t / every), computed as the framework *form* computes it.

    TF1 computes (e ** -rate) ** (t / every) and rounds the base to float32, even for a float64 lr.

    MindSpore computes e ** (-rate * t), with e rounded to the precision of lr. It uses *every* only
    in a staircase, to round t down to a multiple of *every*.
    """
    top = numbers.lr(lr)
    if form == "tf1":
        base = np.float32(math.exp(-np.float32(rate)))
        return exponential(
            lr=lr, rate=float(base), every=every, staircase=staircase, numbers=numbers
        )
    slope = -numbers(rate)
    if form == "mindspore":
        e, n = numbers(math.e), numbers(every)

        def f(t: Array) -> Array:
            at = numbers.steps(t)
            whole = np.floor(at / n) * n if staircase else at
            return np.asarray(top * numbers.power(e, slope * whole))

        return f
    ratio = _ratio(every, staircase, numbers)
    return lambda t: top * numbers.exp(slope * ratio(t))


def inverse_time(
    *, lr: float, rate: float, every: float, staircase: bool, numbers: Numbers = DOUBLE
) -> Curve:
    """Return f(t) = lr / (1 + rate * t / every)."""
    top, slope, one = numbers.lr(lr), numbers(rate), numbers(1)
    n = numbers(every)
    if staircase:
        # The floor keeps TF1 from combining rate and every into one constant.
        return lambda t: top / (one + slope * np.floor(numbers.share(numbers.steps(t), n)))
    return lambda t: top / (one + numbers.share(numbers.steps(t), n, slope))


def _ratio(every: float, staircase: bool, numbers: Numbers) -> Curve:
    n: Any = numbers(every)
    if staircase:
        return lambda t: np.floor(numbers.share(numbers.steps(t), n))
    return lambda t: numbers.share(numbers.steps(t), n)
