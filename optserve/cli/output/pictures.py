"""Charts and comparisons, as the service returns them, drawn as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optserve.cli.output.chart import MARKER, Curve, chart, overlaid
from optserve.contract.answers.charts import Chart, ComparedJob, Comparison, EvaluationCurve

HEIGHTS = {"loss": 8, "lr": 6}
"""The columns to draw, and the height of each chart in lines."""
EVALUATED = ("val_loss", "test_loss")
"""The metrics of evaluations of which the first that was measured is drawn with the loss."""
COMPARED_HEIGHT = 16
MIN_WIDTH, MAX_WIDTH = 40, 100


def job_chart(found: Chart, width: int) -> list[str]:
    """
    Return charts of a job's loss and lr as lines of text; no lines for a job without steps.

    The chart of the loss also shows the loss of evaluations: on the validation examples, or on the
    test examples if the job has no validation loss.
    """
    lines: list[str] = []
    evaluated = next((name for name in EVALUATED if name in found.evaluations), None)
    for name, height in HEIGHTS.items() if found.total else ():
        curve = found.columns[name]
        points = _merged(curve.steps, curve.values, curve.not_finite.steps)
        steps, values = zip(*points, strict=True)
        title, marks = name, list[tuple[int, float]]()
        if name == "loss" and evaluated is not None:
            title = f"{name}, {MARKER} {evaluated}"
            marks = _marks(found.evaluations[evaluated])
        lines += chart(
            title,
            values,
            width=_clamped(width),
            height=height,
            steps=steps,
            total=found.total,
            marks=marks,
        )
    return lines


def _marks(curve: EvaluationCurve) -> list[tuple[int, float]]:
    """Return the points of *curve*, each at the last step before its evaluation."""
    points = _merged(curve.steps, curve.values, curve.not_finite.steps)
    return [(max(int(step) - 1, 0), value) for step, value in points]


def comparison_chart(found: Comparison, width: int) -> list[str]:
    """Return a chart of several jobs as lines of text; no lines if no job has steps."""
    curves = [_curve(job) for job in found.data]
    if not any(curve.x for curve in curves):
        return []
    title = f"{found.column} by {found.x}"
    return overlaid(title, curves, width=_clamped(width), height=COMPARED_HEIGHT)


def _curve(job: ComparedJob) -> Curve:
    points = _merged(job.x, job.values, job.not_finite.x)
    return Curve([x for x, _ in points], [value for _, value in points], max(job.x, default=0))


def _merged(
    x: Sequence[float], values: Sequence[float], not_finite: Sequence[float]
) -> list[tuple[float, float]]:
    """Return the points in order of x, and a point of value NaN at each x in *not_finite*."""
    # A bucket with a finite value has no point for its NaN, only an entry in not_finite. Here that
    # entry becomes a point, so that `chart` marks its column.
    points = [*zip(x, values, strict=True), *((at, math.nan) for at in not_finite)]
    return sorted(points, key=lambda point: point[0])


def _clamped(width: int) -> int:
    return min(max(width, MIN_WIDTH), MAX_WIDTH)
