"""Several jobs beside each other, above one axis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from api.metrics.charts import axes, responses
from api.metrics.charts.axes import Axis
from api.metrics.charts.reader import SeriesReader, bucket_size
from optserve.contract.answers.charts import XAxis, ComparedJob
from store.jobs.record import Record
from store.jobs.views import Store

NO_TIMES = "it was trained before times were kept of its steps"


class Side(NamedTuple):
    """
    One of the jobs that are compared.

    Attributes:
        record: of the job.
        axis: where its rows lie; None if nobody knows.
    """

    record: Record
    axis: Axis | None


async def side(store: Store, record: Record, along: XAxis) -> Side:
    """Return a job as it is compared *along* steps, examples or seconds."""
    if along is XAxis.STEP:
        return Side(record, axes.steps)
    if along is XAxis.EXAMPLES:
        return Side(record, axes.examples(record.spec))
    marks = await store.marks(record)
    if record.rows and not marks:
        return Side(record, None)
    return Side(record, await asyncio.to_thread(axes.seconds, marks))


def end(sides: Sequence[Side], along: XAxis) -> float | None:
    """Return what lies behind all the rows that *sides* have or will have, None for times."""
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
    Return a column of each of *sides* for the eye.

    Args:
        reader: of their rows.
        sides: the jobs.
        column: what is compared.
        along: what by: by step, all have the same buckets.
        first: where to begin, on the axis; None for the beginning.
        last: where to end; None for the end.
        max_points: for each job.
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
