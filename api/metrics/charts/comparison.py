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
from api.metrics.evaluations.reader import EvaluationReader, View
from optserve.contract.answers.charts import ComparedJob, XAxis
from store.jobs.record import Record
from store.jobs.views import Store

NO_TIMES = "the job was trained by a release that did not record the times of steps"


class Window(NamedTuple):
    """
    The part of the axis that is shown.

    Attributes:
        along: the axis. On the axis of steps, the buckets of all jobs have the same size.
        first: beginning of the range on the axis; None for the first position.
        last: end of the range on the axis; None for the last position.
        max_points: maximum number of points per job.
    """

    along: XAxis
    first: float | None
    last: float | None
    max_points: int


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


def end(sides: Sequence[Side], along: XAxis, *, evaluated: bool) -> float | None:
    """
    Return the position at which the axis will end when every job has made all of its steps.

    The end is exclusive: every position on the axis is below it.

    Args:
        sides: the jobs.
        along: the axis. For the axis of seconds the result is None, since its end is not known.
        evaluated: whether the curves show evaluations instead of columns. On the axis of steps,
            the end is then larger by one: an evaluation may follow the last step.
    """
    if along is XAxis.SECONDS:
        return None
    lasts = [axis(np.asarray([max(record.num_steps, 1) - 1]))[0] for record, axis in sides if axis]
    return float(max(lasts)) + 1 + (evaluated and along is XAxis.STEP)


async def curves(
    reader: SeriesReader,
    sides: Sequence[Side],
    column: str,
    window: Window,
) -> list[ComparedJob]:
    """
    Return a curve for each job; a job without an axis gets a reason instead of points.

    Args:
        reader: the reader of the jobs' rows.
        sides: the jobs.
        column: the name of the compared column.
        window: the part of the axis that is shown.
    """
    along, first, last, max_points = window
    ranges = [
        axes.between(axis, record.rows, first, last) if axis else (0, -1) for record, axis in sides
    ]
    size = 1
    if along is XAxis.STEP:
        # The coarsest size, for all jobs: points at equal steps can then be compared.
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


async def evaluation_curves(
    reader: EvaluationReader, sides: Sequence[Side], name: str, window: Window
) -> list[ComparedJob]:
    """
    Return a curve of a metric for each job; a job without an axis gets a reason instead of points.

    Args:
        reader: the reader of the jobs' evaluations.
        sides: the jobs.
        name: the name of the metric.
        window: the part of the axis that is shown.
    """
    views: list[View | None] = []
    for record, axis in sides:
        if axis is None:
            views.append(None)
            continue
        positions = axes.of_evaluations(axis)
        begin, final = axes.between(positions, record.total_steps + 1, window.first, window.last)
        found = await reader.views(
            record, [name], first=begin, last=final, max_points=window.max_points
        )
        views.append(found[name])
    size = 1
    if window.along is XAxis.STEP:
        # As in `curves`; the size of each view is known only after its evaluations were read.
        size = max(view.size for view in views if view)
    return [
        responses.compared_evaluations(record, view.coarser(size), axes.of_evaluations(axis))
        if view and axis
        else responses.omitted(record, NO_TIMES)
        for (record, axis), view in zip(sides, views, strict=True)
    ]
