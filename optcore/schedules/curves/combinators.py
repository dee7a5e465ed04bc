"""Curves made of curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve
from optcore.schedules.numerics.random import normal


def chain(curves: Sequence[Curve], *, boundaries: Sequence[int]) -> Curve:
    """Return curves[i + 1](t - boundaries[i]) between the boundaries i and i + 1."""
    starts = np.asarray([0, *boundaries], np.float64)

    def f(t: Array) -> Array:
        part = np.searchsorted(starts, t, side="right") - 1
        lr = np.empty(t.shape, np.float64)
        for i, curve in enumerate(curves):
            here = part == i
            if here.any():
                lr[here] = curve(t[here] - starts[i])
        return lr

    return f


def cycle(curve: Curve, *, length: int, factor: float) -> Curve:
    """Return f(t) = curve(t mod length) * factor ** floor(t / length)."""

    def f(t: Array) -> Array:
        again = np.floor(t / length)
        lr = curve(t - again * length)
        return lr if factor == 1 else lr * DOUBLE.power(factor, again)

    return f


def scale(curve: Curve, *, factor: float) -> Curve:
    """Return f(t) = curve(t) * factor."""
    return lambda t: curve(t) * factor


def product(curves: Sequence[Curve], *, lr: float) -> Curve:
    """Return f(t) = lr * (curves[0](t) / lr) * (curves[1](t) / lr) * ..."""

    def f(t: Array) -> Array:
        found = np.asarray(curves[0](t))
        for curve in curves[1:]:
            found = found * (curve(t) / lr)
        return found

    return f


def clamp(curve: Curve, *, low: float, high: float | None) -> Curve:
    """Return f(t) = min(max(curve(t), low), high)."""
    return lambda t: np.clip(curve(t), low, high)


def noise(curve: Curve, *, std: float, limit: float, seed: int, begin: int) -> Curve:
    """Return f(t) = curve(t) * (1 + n), n normal and within -limit..limit, from *begin* on."""

    def f(t: Array) -> Array:
        relative = np.clip(std * normal(seed, t), -limit, limit)
        return np.asarray(curve(t) * (1 + np.where(t < begin, 0.0, relative)))

    return f


def per_epoch(curve: Curve, *, steps_per_epoch: int) -> Curve:
    """Return f(t) = curve(floor(t / steps_per_epoch))."""
    return lambda t: curve(np.floor(t / steps_per_epoch))


def shift(curve: Curve, *, by: int) -> Curve:
    """Return f(t) = curve(t + by)."""
    return lambda t: curve(t + by)
