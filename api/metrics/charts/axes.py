"""The axes of a chart: functions from row numbers to positions."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from optcore.spec.run import RunSpec
from store.jobs.series import unpack_marks

Rows = NDArray[np.int64]
Axis = Callable[[Rows], NDArray[np.generic]]
"""Function that maps row numbers to positions, monotonically."""

DECIMALS = 6
"""Decimals of positions in seconds. Stored times have two; times between these are interpolated."""


def steps(rows: Rows) -> NDArray[np.int64]:
    """Return *rows* unchanged: on the axis of steps, the position of a row is its number."""
    return rows


def examples(spec: RunSpec) -> Axis:
    """
    Return the axis of examples: the number of examples seen by the end of each step.

    The last batch of an epoch may have fewer examples than the others.
    """
    of_epoch, of_step = spec.dataset.train_examples, spec.examples_per_step

    def seen(rows: Rows) -> NDArray[np.int64]:
        epoch, step = np.divmod(rows, spec.steps_per_epoch)
        # Not a product of steps: the last step of each epoch may see fewer examples.
        found: Rows = epoch * of_epoch + np.minimum((step + 1) * of_step, of_epoch)
        return found

    return seen


def seconds(marks: bytes) -> Axis:
    """
    Return the axis of seconds: the seconds of training by the end of each step.

    Args:
        marks: the times of some rows, packed as in `store.redis.keys.MARKS`. The times of rows
            between two marks are interpolated. Rows after the last mark get the time of that mark.
    """
    known, times = unpack_marks(marks)
    counts = np.concatenate([[0.0], known])  # float64, or interp would convert it at every call
    times = np.concatenate([[0.0], times])

    def trained(rows: Rows) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.interp(rows + 1, counts, times).round(DECIMALS)
        return found

    return trained


def of_evaluations(axis: Axis) -> Axis:
    """
    Return the axis of evaluations: it maps the number of steps before an evaluation to a position.

    If *axis* is the axis of steps, the position is that number of steps. If *axis* is another axis,
    the position is that of the last step before the evaluation.
    """
    return axis if axis is steps else lambda made: axis(made - 1)


def between(axis: Axis, num_rows: int, first: float | None, last: float | None) -> tuple[int, int]:
    """
    Return the numbers of the first and the last row in a range of positions on *axis*.

    If no row is in the range, the second number is one less than the first.

    Args:
        axis: the axis.
        num_rows: number of rows that the job has.
        first: the beginning of the range; None if it is open.
        last: the end of the range, inclusive; None if it is open.
    """

    def position(row: int) -> float:
        return float(axis(np.asarray([row]))[0])

    # Bisection over row numbers: an axis of a million rows is evaluated some twenty times.
    rows = range(num_rows)
    begin = 0 if first is None else bisect_left(rows, first, key=position)
    end = num_rows if last is None else bisect_right(rows, last, key=position)
    return begin, end - 1
