"""Curves of several jobs on a common axis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from api.metrics.charts import axes, responses
from api.metrics.charts.axes import Axis
from api.metrics.charts.buckets import bucket_size
from api.metrics.charts.reader import SeriesReader
from optserve.contract.answers.charts import ComparedJob, XAxis
from store.jobs.record import Record
from store.jobs.views import Store

NO_TIMES = "the job was trained by a release that did not record the times of steps"


class Side(NamedTuple):
    """
    One of the compared jobs.

    Attributes:
        record: the record of the job.
        axis: function from the job's row numbers to positions; None if positions are unknown.
    """

    record: Record
    axis: Axis | None


async def side(store: Store, record: Record, along: XAxis) -> Side:
    """Return one of the compared jobs: its record, and its axis for the quantity *along*."""
    if along is XAxis.STEP:
        return Side(record, axes.steps)
    if along is XAxis.EXAMPLES:
        return Side(record, axes.examples(record.spec))
    # In a thread below, since unpacking the marks of a long job would block the event loop.
    marks = await store.marks(record)
    if record.rows and not marks:
        return Side(record, None)
    return Side(record, await asyncio.to_thread(axes.seconds, marks))


def end(sides: Sequence[Side], along: XAxis) -> float | None:
    """
    Return the position at which the axis will end when every job has made all of its steps.

    Return None for the axis of seconds, whose end is not known in advance.
    """
    if along is XAxis.SECONDS:
        return None
    lasts = [axis(np.asarray([max(record.num_steps, 1) - 1]))[0] for record, axis in sides if axis]
    return float(max(lasts)) + 1


async def curves(
    reader: SeriesReader,
    sides: Sequence[Side],
    column: str,
    along: XAxis,
    *,
    first: float | None,
    last: float | None,
    max_points: int,
) -> list[ComparedJob]:
    """
    Return a curve for each job; a job without an axis gets a reason instead of points.

    Args:
        reader: the reader of the jobs' rows.
        sides: the jobs.
        column: the name of the compared column.
        along: the axis. On the axis of steps, all jobs have the same buckets.
        first: beginning of the range on the axis; None for the first position.
        last: end of the range on the axis; None for the last position.
        max_points: maximum number of points per job.
    """
    ranges = [
        axes.between(axis, record.rows, first, last) if axis else (0, -1) for record, axis in sides
    ]
    size = 1
    if along is XAxis.STEP:
        size = max(bucket_size(begin, final + 1, max_points) for begin, final in ranges)
    found = []
    for (record, axis), (begin, final) in zip(sides, ranges, strict=True):
        if axis is None:
            found.append(responses.omitted(record, NO_TIMES))
            continue
        view = await reader.view(
            record, [column], first=begin, last=final, max_points=max_points, size=size
        )
        found.append(responses.compared(view, axis))
    return found
