"""Curves that change at given steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers


def constant(
    *, lr: float, factor: float = 1.0, length: int | None = None, numbers: Numbers = DOUBLE
) -> Curve:
    """Return f(t) = lr * factor for t < length, or for ever, and lr from then on."""
    high = numbers.lr(lr)
    low = high * numbers(factor)
    if length is None:
        return lambda t: np.full_like(t, low)
    return lambda t: np.where(t < length, low, high)


def step(*, lr: float, every: int, gamma: float) -> Curve:
    """Return f(t) = lr * gamma ** floor(t / every)."""
    return lambda t: lr * DOUBLE.power(gamma, np.floor(t / every))


def multi_step(*, lr: float, milestones: Sequence[int], gamma: float) -> Curve:
    """Return f(t) = lr * gamma ** (number of milestones <= t)."""
    levels = [lr * gamma**n for n in range(len(milestones) + 1)]
    return piecewise(boundaries=milestones, values=levels)


def piecewise(
    *,
    boundaries: Sequence[int],
    values: Sequence[float],
    at_boundary: Literal["new", "old"] = "new",
    numbers: Numbers = DOUBLE,
) -> Curve:
    """Return f(t) = values[number of boundaries <= t], or < t where the old value holds there."""
    edges = np.asarray(boundaries, np.float64)
    levels = np.asarray(values, np.float64).astype(numbers.dtype)
    side: Literal["left", "right"] = "right" if at_boundary == "new" else "left"

    def f(t: Array) -> Array:
        return np.asarray(levels[np.searchsorted(edges, t, side=side)])

    return f


def multiplicative(*, lr: float, factors: Sequence[float]) -> Curve:
    """Return f(t) = lr * factors[0] * ... * factors[t - 1]."""
    return values(values=np.multiply.accumulate([lr, *factors]).tolist())


def values(*, values: Sequence[float]) -> Curve:
    """Return f(t) = values[t], the last one for ever."""
    levels = np.asarray(values, np.float64)
    return lambda t: levels[np.minimum(t, len(levels) - 1).astype(np.int64)]
