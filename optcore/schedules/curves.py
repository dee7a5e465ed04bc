"""
The curves that schedules are made of: pure, vectorised functions of t in float64.

Each takes t >= 0 as an array and returns lr as an array of the same shape. t may be fractional:
a compressed schedule is asked between its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Curve = Callable[[Array], Array]


def constant(*, lr: float) -> Curve:
    """Return f(t) = lr."""
    return lambda t: np.full_like(t, lr)


def cosine(*, lr: float, length: int, end: float) -> Curve:
    """Return f(t) = end + (lr - end) * (1 + cos(pi * min(t, length) / length)) / 2."""

    def f(t: Array) -> Array:
        return end + (lr - end) * (1 + np.cos(np.pi * np.minimum(t, length) / length)) / 2

    return f


def linear(*, lr: float, length: int, end: float) -> Curve:
    """Return f(t) = lr + (end - lr) * min(t, length) / length."""
    return lambda t: lr + (end - lr) * (np.minimum(t, length) / length)


def step(*, lr: float, every: int, gamma: float) -> Curve:
    """Return f(t) = lr * gamma ** floor(t / every)."""
    return lambda t: lr * gamma ** np.floor(t / every)


def piecewise(*, boundaries: Sequence[int], values: Sequence[float]) -> Curve:
    """Return f(t) = values[number of boundaries <= t]."""
    edges, levels = np.asarray(boundaries, np.float64), np.asarray(values, np.float64)
    return lambda t: levels[np.searchsorted(edges, t, side="right")]
