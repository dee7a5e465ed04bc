"""Curves that decay for as long as the run goes."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers


def exponential(
    *, lr: float, rate: float, every: int, staircase: bool, numbers: Numbers = DOUBLE
) -> Curve:
    """Return f(t) = lr * rate ** (t / every)."""
    top, base = numbers.lr(lr), numbers(rate)
    ratio = _ratio(every, staircase, numbers)
    return lambda t: top * numbers.power(base, ratio(t))


def natural_exponential(
    *,
    lr: float,
    rate: float,
    every: int,
    staircase: bool,
    form: Literal["plain", "mindspore", "tf1"] = "plain",
    numbers: Numbers = DOUBLE,
) -> Curve:
    """
    Return f(t) = lr * exp(-rate * t / every), in the form of a dialect.

    TF1 computes (e ** -rate) ** (t / every), its base rounded to float32 in any case; MindSpore
    computes e ** (-rate * t), with e rounded to float32, where every matters only to stairs.
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
    *, lr: float, rate: float, every: int, staircase: bool, numbers: Numbers = DOUBLE
) -> Curve:
    """Return f(t) = lr / (1 + rate * t / every)."""
    top, slope, one = numbers.lr(lr), numbers(rate), numbers(1)
    n = numbers(every)
    if staircase:
        return lambda t: top / (one + slope * np.floor(numbers.share(numbers.steps(t), n)))
    return lambda t: top / (one + numbers.share(numbers.steps(t), n, slope))


def noam(*, lr: float, d_model: float, warmup_steps: int) -> Curve:
    """Return f(t) = lr * d_model ** -0.5 * min(t ** -0.5, t * warmup_steps ** -1.5)."""
    factor, rise = lr * d_model**-0.5, warmup_steps**-1.5

    def f(t: Array) -> Array:
        fall = 1 / np.sqrt(np.maximum(t, 1e-300))
        return np.asarray(factor * np.minimum(fall, rise * t))

    return f


def inverse_sqrt(*, lr: float, timescale: int) -> Curve:
    """Return f(t) = lr / sqrt(1 + t / timescale)."""
    return lambda t: lr / np.sqrt(1 + t / timescale)


def _ratio(every: int, staircase: bool, numbers: Numbers) -> Curve:
    n: Any = numbers(every)
    if staircase:
        return lambda t: np.floor(numbers.share(numbers.steps(t), n))
    return lambda t: numbers.share(numbers.steps(t), n)
