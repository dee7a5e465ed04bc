"""Buckets: each summarizes consecutive rows in a few numbers, without losing an extreme value."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Buckets = NDArray[np.void]
"""Array of shape (buckets, columns), or (buckets,) for one column, and dtype `BUCKET`."""

BUCKET = np.dtype(
    [
        ("low", "<f8"),
        ("low_at", "<i8"),
        ("high", "<f8"),
        ("high_at", "<i8"),
        ("odd", "<f8"),
        ("odd_at", "<i8"),
        ("nan", "<i4"),
        ("infinity", "<i4"),
        ("minus_infinity", "<i4"),
    ]
)
"""
The smallest and the largest finite value and the first non-finite value, each with the first row
that has this value (`NOWHERE` if no row has one), and the counts of NaN, Infinity and -Infinity.
"""
COUNTS = ("nan", "infinity", "minus_infinity")
NOWHERE = np.iinfo(np.int64).max
EMPTY = np.array((np.inf, NOWHERE, -np.inf, NOWHERE, np.nan, NOWHERE, 0, 0, 0), BUCKET)
"""A bucket of no rows, the neutral element when buckets are merged."""


class Points(NamedTuple):
    """
    The points of a curve.

    Attributes:
        steps: the steps of the points, ascending.
        values: the values of the points, one per step.
    """

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


def bucket_size(first: int, stop: int, max_points: int) -> int:
    """
    Return the number of rows per bucket: 1 if every row can be a point, else a power of two.

    Args:
        first: the first row.
        stop: the row after the last row.
        max_points: maximum number of points per column, at least two.
    """
    size = 1
    if stop - first > max_points:
        # Buckets begin at multiples of their size, so a range may touch one more than it fills.
        while 2 * (-(-stop // size) - first // size) > max_points:
            size *= 2
    return size


def summarize(values: NDArray[np.float64], first: int, size: int) -> Buckets:
    """
    Return the buckets of consecutive rows.

    Args:
        values: the rows, as an array of shape (rows, columns) and dtype float64.
        first: number of the first row.
        size: rows per bucket. Bucket i begins at row i * size; the first and the last bucket may
            be incomplete.
    """
    num_rows, num_columns = values.shape
    head = min(-first % size, num_rows)
    whole = (num_rows - head) // size
    tail = head + whole * size
    parts = [
        _summarized(part.reshape(count, -1, num_columns), first + at)
        for at, part, count in (
            (0, values[:head], 1),
            (head, values[head:tail], whole),
            (tail, values[tail:], 1),
        )
        if len(part)
    ]
    return np.concatenate(parts) if parts else np.empty((0, num_columns), BUCKET)


def coarser(buckets: Buckets, first: int, factor: int) -> Buckets:
    """
    Return larger buckets, each merged from *factor* consecutive *buckets*.

    Args:
        buckets: array of shape (buckets, columns).
        first: number of the first bucket. The merged bucket i begins at bucket i * factor.
        factor: number of buckets that are merged into one.
    """
    # Merged buckets begin at multiples of *factor* from row 0, not at *first*: a chart of another
    # range then has the same buckets, and does not flicker.
    lead, (num, num_columns) = first % factor, buckets.shape
    count = -(-(lead + num) // factor) if num else 0
    padded = np.full((count * factor, num_columns), EMPTY)
    padded[lead : lead + num] = buckets
    groups = padded.reshape(count, factor, num_columns)
    found = np.empty((count, num_columns), BUCKET)
    # argmin and argmax return the first of equal values, so each point is at the first row that has
    # its value. An empty bucket never wins: its extremes are infinite, and NOWHERE is the largest
    # number.
    for value, at, chosen in (
        ("low", "low_at", groups["low"].argmin(axis=1)),
        ("high", "high_at", groups["high"].argmax(axis=1)),
        ("odd", "odd_at", groups["odd_at"].argmin(axis=1)),
    ):
        found[value] = _taken(groups[value], chosen)
        found[at] = _taken(groups[at], chosen)
    for name in COUNTS:
        found[name] = groups[name].sum(axis=1)
    return found


def points(buckets: Buckets) -> Points:
    """
    Return the points of the curve for one column, at most two per bucket.

    The points of a bucket are its smallest and its largest value, in order of their steps; they are
    one point if both are at the same step. If no value is finite, the point is the first value.
    """
    swapped = buckets["high_at"] < buckets["low_at"]
    no_finite = buckets["low_at"] == NOWHERE
    steps = np.stack([buckets["low_at"], buckets["high_at"]], axis=1)
    values = np.stack([buckets["low"], buckets["high"]], axis=1)
    steps[swapped], values[swapped] = steps[swapped, ::-1], values[swapped, ::-1]
    steps[no_finite, 0] = buckets["odd_at"][no_finite]
    values[no_finite, 0] = buckets["odd"][no_finite]
    drawn = np.stack([np.ones_like(no_finite), ~no_finite & (steps[:, 0] != steps[:, 1])], axis=1)
    return Points(steps[drawn], values[drawn])


def _summarized(values: NDArray[np.float64], first: int) -> Buckets:
    """
    Return the buckets of groups of consecutive rows, as an array of shape (groups, columns).

    Args:
        values: array of shape (groups, rows per group, columns).
        first: number of the first row.
    """
    count, size, num_columns = values.shape
    found = np.full((count, num_columns), EMPTY)
    starts = first + size * np.arange(count)[:, np.newaxis]
    finite = np.isfinite(values)
    # Almost all series are finite everywhere, and the copies below take half of the time.
    if not (all_finite := bool(finite.all())):
        _fill_odd(found, values, finite, starts)
    # NaN would win every argmin, and an infinity would be an extreme.
    lows = values if all_finite else np.where(finite, values, np.inf)
    highs = values if all_finite else np.where(finite, values, -np.inf)
    some = finite.any(axis=1)
    for value, at, among, chosen in (
        ("low", "low_at", lows, lows.argmin(axis=1)),
        ("high", "high_at", highs, highs.argmax(axis=1)),
    ):
        found[value] = _taken(among, chosen)
        found[at] = np.where(some, starts + chosen, NOWHERE)
    return found


def _fill_odd(
    found: Buckets,
    values: NDArray[np.float64],
    finite: NDArray[np.bool_],
    starts: NDArray[np.int64],
) -> None:
    """
    In the buckets *found*, fill in the fields that describe non-finite values.

    Args:
        found: array of shape (groups, columns).
        values: the rows, as an array of shape (groups, rows per group, columns).
        finite: whether each of *values* is finite.
        starts: number of the first row of each group, as an array of shape (groups, 1).
    """
    chosen = finite.argmin(axis=1)
    odd = ~finite.all(axis=1)
    found["odd"] = np.where(odd, _taken(values, chosen), np.nan)
    found["odd_at"] = np.where(odd, starts + chosen, NOWHERE)
    found["nan"] = np.isnan(values).sum(axis=1)
    found["infinity"] = np.isposinf(values).sum(axis=1)
    found["minus_infinity"] = np.isneginf(values).sum(axis=1)


def _taken(among: NDArray[np.generic], chosen: NDArray[np.intp]) -> NDArray[np.generic]:
    """
    Return the chosen entry for each group and column, as an array of shape (groups, columns).

    Args:
        among: array of shape (groups, entries, columns).
        chosen: index of the entry in *among*, as an array of shape (groups, columns).
    """
    return np.take_along_axis(among, chosen[:, np.newaxis], axis=1)[:, 0]
