"""Pictures of what the service says of jobs: one job's steps, or several jobs over each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optserve.cli.output.chart import Curve, chart, overlaid
from optserve.contract.answers.charts import Chart, ComparedJob, Comparison

HEIGHTS = {"loss": 8, "lr": 6}
"""Columns that are drawn, and the lines of each."""
COMPARED_HEIGHT = 16
MIN_WIDTH, MAX_WIDTH = 40, 100


def of_job(found: Chart, width: int) -> list[str]:
    """Return loss and lr of every step, drawn; nothing for a job without steps."""
    lines: list[str] = []
    for name, height in HEIGHTS.items() if found.total else ():
        curve = found.columns[name]
        points = _merged(curve.steps, curve.values, curve.not_finite.steps)
        steps, values = zip(*points, strict=True)
        lines += chart(
            name, values, width=_fitting(width), height=height, steps=steps, total=found.total
        )
    return lines


def of_jobs(found: Comparison, width: int) -> list[str]:
    """Return a column of several jobs, each drawn with its letter; nothing if none has steps."""
    curves = [_curve(job) for job in found.data]
    if not any(curve.x for curve in curves):
        return []
    title = f"{found.column} by {found.x}"
    return overlaid(title, curves, width=_fitting(width), height=COMPARED_HEIGHT)


def _curve(job: ComparedJob) -> Curve:
    points = _merged(job.x, job.values, job.not_finite.x)
    return Curve([x for x, _ in points], [value for _, value in points], max(job.x, default=0))


def _merged(
    x: Sequence[float], values: Sequence[float], odd: Sequence[float]
) -> list[tuple[float, float]]:
    """Return points with those among them that are *odd*: where values are not finite."""
    points = [*zip(x, values, strict=True), *((at, math.nan) for at in odd)]
    return sorted(points, key=lambda point: point[0])


def _fitting(width: int) -> int:
    return min(max(width, MIN_WIDTH), MAX_WIDTH)
