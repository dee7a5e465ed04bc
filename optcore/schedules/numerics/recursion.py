"""
Curves that are computed from their own last value, in float32.

torch's schedulers multiply the lr they find. In float64 that is the formula to 1e-14 and the
formula is used; mindspore.experimental, which copies them, keeps lr in float32, where a thousand
products are a rounding error that shows. Those are repeated here product by product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.schedules.numerics.numbers import Array, Curve, Numbers

Single = NDArray[np.float32]
SINGLE = Numbers(single=True)
SETTLING = 16_384
"""Products computed before it is looked whether they still change."""


def step(*, lr: float, every: int, gamma: float) -> Curve:
    """Return lr times gamma at each t that *every* divides."""
    return _products(lr, lambda t: np.where(t % every == 0, np.float32(gamma), np.float32(1)))


def multi_step(*, lr: float, milestones: Sequence[int], gamma: float) -> Curve:
    """Return lr times gamma ** n at each t that is n of the *milestones*."""
    at, counts = np.unique(np.asarray(milestones, np.int64), return_counts=True)
    powers = {int(t): gamma ** int(n) for t, n in zip(at, counts, strict=True)}
    first = float(np.float32(lr) * np.float32(powers.pop(0, 1.0)))
    edges = np.asarray([*powers, math.inf])
    levels = np.asarray([*powers.values(), 1.0], np.float32)

    def factors(t: Single) -> Single:
        found = np.searchsorted(edges, t)
        return np.where(edges[found] == t, levels[found], np.float32(1))

    return _products(first, factors)


def multiplicative(*, lr: float, factors: Sequence[float]) -> Curve:
    """Return lr times factors[t - 1] at each t."""
    listed = np.asarray([1.0, *factors, 1.0], np.float32)
    return _products(lr, lambda t: listed[np.minimum(t, len(listed) - 1).astype(np.int64)])


def exponential(*, lr: float, rate: float) -> Curve:
    """Return lr times rate at each t."""
    factor = np.float32(rate)

    def table(size: int) -> Single:
        values = np.full(size, factor, np.float32)
        values[0] = lr
        with np.errstate(under="ignore"):
            for start in range(0, size, SETTLING):
                block = values[max(0, start - 1) : start + SETTLING]
                block[start > 0 :] = np.multiply.accumulate(block)[start > 0 :]
                if block[-1] * factor == block[-1]:  # 0, or as small as it gets
                    values[start + SETTLING :] = block[-1]
                    break
        return values

    return _tabled(table)


def constant(*, lr: float, factor: float, length: int | None) -> Curve:
    """Return lr times factor, divided by it again at *length*."""
    low = np.float32(lr) * np.float32(factor)
    if length is None or factor == 0:
        return lambda t: np.full_like(t, low)
    high = low / np.float32(factor)
    return lambda t: np.where(t < length, low, high)


def linear(*, lr: float, length: int, start_factor: float, end_factor: float) -> Curve:
    """Return the line from lr * start_factor to lr * end_factor, as torch's factors make it."""
    rise = np.float32(end_factor - start_factor)
    base = np.float32(length * start_factor)
    first = float(np.float32(lr) * np.float32(start_factor))

    def factors(t: Single) -> Single:
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.float32(1) + rise / (base + (t - np.float32(1)) * rise)
        return np.where(t > length, np.float32(1), factor).astype(np.float32)

    return _products(first, factors)


def polynomial(*, lr: float, length: int, power: float) -> Curve:
    """Return the power of what is left, as torch's factors make it."""
    n, one = np.float32(length), np.float32(1)

    def factors(t: Single) -> Single:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (one - t / n) / (one - (t - one) / n)
        found = SINGLE.power(np.where(t > n, one, ratio), np.float32(power))
        return np.asarray(found, np.float32)

    return _products(lr, factors)


def cosine(*, lr: float, length: int, end: float) -> Curve:
    """Return the cosine that rises again, as torch's factors and its one sum a period make it."""
    pi, one, floor = np.float32(np.pi), np.float32(1), np.float32(end)
    n = np.float32(length)
    # With an end the recursion is no product, and a million steps take half a second, once.
    lift = (np.float32(lr) - floor) * (
        one - SINGLE.cos(np.asarray(np.float32(np.pi / length)))
    ) / np.float32(2)  # fmt: skip

    def table(size: int) -> Single:
        t = np.arange(1, size, dtype=np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = (one + SINGLE.cos(pi * t / n)) / (one + SINGLE.cos(pi * (t - one) / n))
        lifts = (np.arange(1, size) - 1 - length) % (2 * length) == 0
        if floor == 0:
            return _lifted(np.float32(lr), ratios, lifts, lift)
        values: list[Any] = [np.float32(lr)]
        for ratio, lifted in zip(ratios, lifts, strict=True):
            value = values[-1]
            values.append(value + lift if lifted else ratio * (value - floor) + floor)
        return np.asarray(values, np.float32)

    return _tabled(table)


def _lifted(first: Any, ratios: Single, lifts: NDArray[np.bool_], lift: Any) -> Single:  # noqa: ANN401
    """Return *first*, multiplied with the ratios one by one, and where it lifts, *lift* added."""
    values = np.concatenate([np.asarray([first], np.float32), ratios])
    starts = [0, *(np.flatnonzero(lifts) + 1), len(values)]
    for start, stop in pairwise(starts):
        if start:
            values[start] = values[start - 1] + lift
        values[start:stop] = np.multiply.accumulate(values[start:stop], dtype=np.float32)
    return values


def _products(first: float, factors: Callable[[Single], Single]) -> Curve:
    """Return *first*, multiplied with factors(t) at t = 1, 2, ..., each product rounded."""

    def table(size: int) -> Single:
        steps = np.arange(1, size, dtype=np.float32)
        values = np.concatenate([np.asarray([first], np.float32), factors(steps)])
        with np.errstate(under="ignore"):
            return np.asarray(np.multiply.accumulate(values, dtype=np.float32))

    return _tabled(table)


def _tabled(table: Callable[[int], Single]) -> Curve:
    """Return f(t) = table(size)[t], made anew, twice as long, where it is too short."""
    known = np.empty(0, np.float32)

    def f(t: Array) -> Array:
        nonlocal known
        at = t.astype(np.int64)
        longest = int(at.max(initial=0)) + 1
        if longest > len(known):
            known = table(max(longest, 2 * len(known)))
        return known[at]

    return f
