"""Warmup: a linear rise in front of a curve, and the three meanings of what comes after."""

from __future__ import annotations

from typing import Literal

import numpy as np

from optcore.schedules.curves import Array, Curve


def warmup(
    curve: Curve,
    *,
    length: int,
    start: float,
    after: Literal["delay", "overlap", "compress"],
    total_steps: int,
) -> Curve:
    """
    Return *curve* behind a rise from *start* to its first value.

    ::

        t <  length:  start + (curve(0) - start) * t / length
        t >= length:  delay     curve(t - length)
                      overlap   curve(t)
                      compress  curve((t - length) * total_steps / (total_steps - length))

    Args:
        curve: the schedule proper.
        length: of the rise, in steps; 0 for none.
        start: lr at t = 0.
        after: what the curve does about the steps the rise took.
        total_steps: length of the run, above *length*.
    """
    if length == 0:
        return curve
    peak = float(curve(np.zeros(1))[0])
    offset = 0 if after == "overlap" else length

    def f(t: Array) -> Array:
        rise = start + (peak - start) * (t / length)
        since = np.maximum(t - offset, 0.0)
        if after == "compress":
            # The product first: it is exact, so that whole positions stay whole.
            since = since * total_steps / (total_steps - length)
        return np.where(t < length, rise, curve(since))

    return f
