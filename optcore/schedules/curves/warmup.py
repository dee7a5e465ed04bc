"""Warmup: a rise in front of a curve, and the three meanings of what comes after."""

from __future__ import annotations

from typing import Literal

import numpy as np

from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers


def warmup(
    curve: Curve,
    *,
    length: int,
    start: float,
    after: Literal["delay", "overlap", "compress"],
    total_steps: int,
    shape: Literal["linear", "cosine", "exponential", "constant"] = "linear",
    end: float | None = None,
    numbers: Numbers = DOUBLE,
) -> Curve:
    """
    Return *curve* behind a rise from *start* to *end*, or else to its first value.

    ::

        t <  length:  start + (end - start) * t / length
        t >= length:  delay     curve(t - length)
                      overlap   curve(t)
                      compress  curve((t - length) * total_steps / (total_steps - length))

    Args:
        curve: the schedule proper.
        length: of the rise, in steps; 0 for none.
        start: lr at t = 0.
        after: what the curve does about the steps the rise took.
        total_steps: length of the run, above *length*.
        shape: of the rise.
        end: what it rises to; None for the curve's first value.
        numbers: what the rise is computed in.
    """
    if length == 0:
        return curve
    peak = float(curve(np.zeros(1))[0]) if end is None else end
    rise = _rise(length, start, peak, shape, numbers)
    offset = 0 if after == "overlap" else length

    def f(t: Array) -> Array:
        since = np.maximum(t - offset, 0.0)
        if after == "compress":
            # The product first: it is exact, so that whole positions stay whole.
            since = since * total_steps / (total_steps - length)
        return np.where(t < length, rise(np.minimum(t, length)), curve(since))

    return f


def _rise(length: int, start: float, peak: float, shape: str, numbers: Numbers) -> Curve:
    low, height, n = numbers.lr(start), numbers.lr(peak) - numbers.lr(start), numbers(length)
    if shape == "constant":
        return lambda t: np.full_like(t, start)
    if shape == "exponential":
        return lambda t: start * DOUBLE.power(peak / start, t / length)
    if shape == "cosine":
        return lambda t: start + (peak - start) * (1 - np.cos(np.pi * t / length)) / 2
    return lambda t: low + height * (numbers.steps(t) / n)
