"""Axes: what a row of a series stands above."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from optcore.spec.run import RunSpec
from store.jobs.series import unpack_marks

Rows = NDArray[np.int64]
Axis = Callable[[Rows], NDArray[np.generic]]
"""From rows to where they lie; ascending."""

DECIMALS = 6
"""Of seconds. Marks have two; between them steps are spread evenly."""


def steps(rows: Rows) -> NDArray[np.int64]:
    """Return the steps of *rows*: the same."""
    return rows


def examples(spec: RunSpec) -> Axis:
    """Return how many examples a run has seen by the end of a row; an epoch's last may have few."""
    of_epoch, of_step = spec.dataset.train_examples, spec.examples_per_step

    def seen(rows: Rows) -> NDArray[np.int64]:
        epoch, step = np.divmod(rows, spec.steps_per_epoch)
        found: Rows = epoch * of_epoch + np.minimum((step + 1) * of_step, of_epoch)
        return found

    return seen


def seconds(marks: bytes) -> Axis:
    """
    Return how long a job had been trained by the end of a row, in seconds.

    Args:
        marks: see `store.redis.keys.MARKS`; rows behind the last one lie where that does.
    """
    known, times = unpack_marks(marks)
    counts = np.concatenate([[0.0], known])  # as interp wants them: it would convert them each time
    times = np.concatenate([[0.0], times])

    def trained(rows: Rows) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.interp(rows + 1, counts, times).round(DECIMALS)
        return found

    return trained


def between(axis: Axis, num_rows: int, first: float | None, last: float | None) -> tuple[int, int]:
    """Return the first and the last of so many rows that lie from *first* to *last*, both meant."""

    def where(row: int) -> float:
        return float(axis(np.asarray([row]))[0])

    rows = range(num_rows)
    begin = 0 if first is None else bisect_left(rows, first, key=where)
    end = num_rows if last is None else bisect_right(rows, last, key=where)
    return begin, end - 1
