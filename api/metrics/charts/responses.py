"""The responses that contain charts: points made from buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from api.metrics.charts.axes import Axis
from api.metrics.charts.buckets import BUCKET, COUNTS, NOWHERE, Buckets, points
from api.metrics.charts.reader import View
from api.metrics.evaluations.names import higher_is_better
from api.metrics.evaluations.reader import View as EvaluationView
from optserve.contract.answers.charts import Chart, ComparedJob, Curve, EvaluationCurve
from store.jobs.record import Record


def chart(
    view: View, evaluations: Mapping[str, EvaluationView], unreadable: str | None = None
) -> Chart:
    """
    Return the chart of one job.

    *unreadable* is the reason why the job's evaluations cannot be read; None if they can.
    """
    record = view.record
    evaluated = {
        name: EvaluationCurve(
            **_curve(each.buckets), bucket=each.size, higher_is_better=higher_is_better(name)
        )
        for name, each in evaluations.items()
    }
    curves: dict[str, Curve] = {
        name: Curve(**_curve(view.buckets[:, i])) for i, name in enumerate(view.columns)
    }
    return Chart(
        job=record.id,
        state=record.state,
        total=record.rows,
        first=view.first,
        last=view.stop - 1,
        bucket=view.size,
        returned=sum(len(curve.steps) for curve in [*curves.values(), *evaluated.values()]),
        columns=curves,
        evaluations=evaluated,
        evaluations_unreadable=unreadable,
    )


def compared(view: View, axis: Axis) -> ComparedJob:
    """Return the curve of one job of a comparison; *axis* gives its x values."""
    return _compared(view.record, view.buckets[:, 0], view.size, axis)


def compared_evaluations(record: Record, view: EvaluationView, axis: Axis) -> ComparedJob:
    """Return the curve of a metric of one job of a comparison; *axis* gives its x values."""
    return _compared(record, view.buckets, view.size, axis)


def _compared(record: Record, buckets: Buckets, size: int, axis: Axis) -> ComparedJob:
    curve = _curve(buckets)
    for part in (curve, curve["not_finite"]):
        part["x"] = axis(np.asarray(part["steps"], np.int64)).tolist()
    return ComparedJob(**_facts(record), bucket=size, **curve)


def omitted(record: Record, reason: str) -> ComparedJob:
    """Return one of the compared jobs without points, with the *reason* why it has none."""
    curve = _curve(np.empty(0, BUCKET))
    for part in (curve, curve["not_finite"]):
        part["x"] = []
    return ComparedJob(**{**_facts(record), "omitted": reason}, bucket=1, **curve)


def _facts(record: Record) -> dict[str, Any]:
    return {
        "job": record.id,
        "name": record.posted.get("name", ""),
        "state": record.state,
        "total": record.rows,
        "omitted": None,
        "result": record.small_result,
    }


def _curve(buckets: Buckets) -> dict[str, Any]:
    drawn = points(buckets)
    odd = buckets[buckets["odd_at"] != NOWHERE]
    return {
        "steps": drawn.steps.tolist(),
        "values": drawn.values.tolist(),
        "not_finite": {
            "steps": odd["odd_at"].tolist(),
            **{name: odd[name].tolist() for name in COUNTS},
        },
    }
