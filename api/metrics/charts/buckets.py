"""Buckets: neighbouring rows in a few numbers, of which nothing that stands out is missing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Buckets = NDArray[np.void]
"""Of the shape (buckets, columns), or (buckets,) for one column; each is a `BUCKET`."""

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
The smallest and the largest finite value and the first one that is not finite, each with the first
row that has it (`NOWHERE` if none has), and how many are NaN, Infinity and -Infinity.
"""
COUNTS = ("nan", "infinity", "minus_infinity")
NOWHERE = np.iinfo(np.int64).max
EMPTY = np.array((np.inf, NOWHERE, -np.inf, NOWHERE, np.nan, NOWHERE, 0, 0, 0), BUCKET)
"""A bucket of no rows: added to others it changes nothing."""


class Points(NamedTuple):
    """
    What is drawn of a column.

    Attributes:
        steps: ascending.
        values: one for each.
    """

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


def summarize(values: NDArray[np.float64], first: int, size: int) -> Buckets:
    """
    Return the buckets of rows *first* and on.

    Args:
        values: (rows, columns), float64.
        first: number of the first row.
        size: rows of a bucket; bucket i has the rows from i * size on. Where the rows begin or end
            within a bucket, it has those that there are.
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
    Return each *factor* of *buckets* as one.

    Args:
        buckets: (buckets, columns).
        first: number of the first; the new bucket i has those from i * factor on.
        factor: how many become one.
    """
    lead, (num, num_columns) = first % factor, buckets.shape
    count = -(-(lead + num) // factor) if num else 0
    padded = np.full((count * factor, num_columns), EMPTY)
    padded[lead : lead + num] = buckets
    groups = padded.reshape(count, factor, num_columns)
    found = np.empty((count, num_columns), BUCKET)
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
    Return what is drawn of *buckets* of one column: two points of each at most.

    They are its smallest and its largest value, the earlier one first; one point if the two are
    the same; and where no value is finite, the first of them.
    """
    swapped = buckets["high_at"] < buckets["low_at"]
    lost = buckets["low_at"] == NOWHERE
    steps = np.stack([buckets["low_at"], buckets["high_at"]], axis=1)
    values = np.stack([buckets["low"], buckets["high"]], axis=1)
    steps[swapped], values[swapped] = steps[swapped, ::-1], values[swapped, ::-1]
    steps[lost, 0], values[lost, 0] = buckets["odd_at"][lost], buckets["odd"][lost]
    drawn = np.stack([np.ones_like(lost), ~lost & (steps[:, 0] != steps[:, 1])], axis=1)
    return Points(steps[drawn], values[drawn])


def _summarized(values: NDArray[np.float64], first: int) -> Buckets:
    """Return a bucket for each of the groups in *values*: (groups, rows of each, columns)."""
    count, size, num_columns = values.shape
    found = np.full((count, num_columns), EMPTY)
    starts = first + size * np.arange(count)[:, np.newaxis]
    finite = np.isfinite(values)
    if not (whole := bool(finite.all())):
        _note_odd(found, values, finite, starts)
    lows = values if whole else np.where(finite, values, np.inf)
    highs = values if whole else np.where(finite, values, -np.inf)
    some = finite.any(axis=1)
    for value, at, among, chosen in (
        ("low", "low_at", lows, lows.argmin(axis=1)),
        ("high", "high_at", highs, highs.argmax(axis=1)),
    ):
        found[value] = _taken(among, chosen)
        found[at] = np.where(some, starts + chosen, NOWHERE)
    return found


def _note_odd(
    found: Buckets,
    values: NDArray[np.float64],
    finite: NDArray[np.bool_],
    starts: NDArray[np.int64],
) -> None:
    """Put what is not finite among *values* into *found*."""
    chosen = finite.argmin(axis=1)
    odd = ~finite.all(axis=1)
    found["odd"] = np.where(odd, _taken(values, chosen), np.nan)
    found["odd_at"] = np.where(odd, starts + chosen, NOWHERE)
    found["nan"] = np.isnan(values).sum(axis=1)
    found["infinity"] = np.isposinf(values).sum(axis=1)
    found["minus_infinity"] = np.isneginf(values).sum(axis=1)


def _taken(among: NDArray[np.generic], chosen: NDArray[np.intp]) -> NDArray[np.generic]:
    """Return of each group and column of *among* the entry that was *chosen*."""
    return np.take_along_axis(among, chosen[:, np.newaxis], axis=1)[:, 0]
