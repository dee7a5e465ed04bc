"""
Buckets of values that only some steps have.

The buckets are of the same kind as in `api.metrics.charts.buckets`, but empty buckets are left out.
With n steps per bucket, two values are in the same bucket if ``step // n`` is equal for both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from api.metrics.charts.buckets import COUNTS, EMPTY, NOWHERE, Buckets


def single(steps: Sequence[int], values: Sequence[float]) -> Buckets:
    """Return a bucket for each value; *steps* must ascend."""
    at, all_values = np.asarray(steps, np.int64), np.asarray(values, np.float64)
    found = np.full(len(at), EMPTY)
    finite = np.isfinite(all_values)
    for value, where, chosen in (
        ("low", "low_at", finite),
        ("high", "high_at", finite),
        ("odd", "odd_at", ~finite),
    ):
        found[value] = np.where(chosen, all_values, found[value])
        found[where] = np.where(chosen, at, NOWHERE)
    found["nan"] = np.isnan(all_values)
    found["infinity"] = np.isposinf(all_values)
    found["minus_infinity"] = np.isneginf(all_values)
    return found


def first_steps(buckets: Buckets) -> NDArray[np.int64]:
    """Return, for each bucket, the first step whose value is an extreme or not finite."""
    found: NDArray[np.int64] = np.minimum(
        np.minimum(buckets["low_at"], buckets["high_at"]), buckets["odd_at"]
    )
    return found


def merged(buckets: Buckets, size: int) -> Buckets:
    """
    Return *buckets* merged into larger ones, of *size* steps each.

    *size* must be a multiple of the number of steps in each of *buckets*.
    """
    ids = first_steps(buckets) // size
    starts = np.flatnonzero(np.diff(ids, prepend=-1))
    if len(starts) == len(buckets):
        return buckets
    num = len(buckets)
    of = np.repeat(np.arange(len(starts)), np.diff(starts, append=num))
    found = np.full(len(starts), EMPTY)
    for value, at, extreme in (("low", "low_at", np.minimum), ("high", "high_at", np.maximum)):
        found[value] = extreme.reduceat(buckets[value], starts)
        # Of equal values, the first counts.
        equal = buckets[value] == found[value][of]
        found[at] = np.minimum.reduceat(np.where(equal, buckets[at], NOWHERE), starts)
    has_odd = buckets["odd_at"] != NOWHERE
    first = np.minimum.reduceat(np.where(has_odd, np.arange(num), num), starts)
    odd = first < num
    found["odd"][odd] = buckets["odd"][first[odd]]
    found["odd_at"][odd] = buckets["odd_at"][first[odd]]
    for name in COUNTS:
        found[name] = np.add.reduceat(buckets[name], starts)
    return found


def fitting(buckets: Buckets, size: int, max_points: int) -> int:
    """
    Return the number of steps per bucket with which a curve has at most *max_points* points.

    A bucket of one step has one point, a larger bucket two.

    Args:
        buckets: the buckets of the curve.
        size: steps per bucket of *buckets*; a power of two.
        max_points: maximum number of points, at least two.
    """
    points = len(buckets) if size == 1 else 2 * len(buckets)
    while points > max_points:
        size *= 2
        buckets = merged(buckets, size)
        points = 2 * len(buckets)
    return size
