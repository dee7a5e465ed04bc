"""The metrics of a job's evaluations as a table, and in brief."""

from __future__ import annotations

import math
from collections.abc import Mapping

from optserve.client import Client
from optserve.contract.answers.charts import Chart, EvaluationCurve

HEADER = ("metric", "last", "step", "best", "step")
"""The last and the best value of a metric, each with the number of steps made before it."""


def table(client: Client, found: Chart) -> list[list[str]]:
    """
    Return a row for each metric of a job's evaluations; the metrics come from the chart *found*.

    A row has no best value if the service does not know whether higher values are better.
    """
    last = _last(client, found)
    return [
        [name, f"{last[name][1]:.6g}", str(last[name][0]), *_best(curve)]
        for name, curve in found.evaluations.items()
        if curve.steps
    ]


def brief(metrics: Mapping[str, float]) -> str:
    """
    Return one of *metrics* as text: the accuracy if there is one, else the first metric.

    The loss is returned only if there is no other metric. Without metrics, the text is empty.
    """
    if "accuracy" in metrics:
        return f"{metrics['accuracy']:.2%}"
    name = next((name for name in metrics if name != "loss"), "loss")
    return f"{name} {metrics[name]:.4g}" if name in metrics else ""


def _last(client: Client, found: Chart) -> dict[str, tuple[int, float]]:
    """Return the last value of each metric as name -> (step, value)."""
    curves = {name: curve for name, curve in found.evaluations.items() if curve.steps}
    last = {name: (curve.steps[-1], curve.values[-1]) for name, curve in curves.items()}
    # In a bucket of several evaluations, the last one need not be a point.
    reduced = [curve.steps[-1] for curve in curves.values() if curve.bucket > 1]
    if reduced:
        for each in client.evaluations(found.job, after=min(reduced) - 1):
            last |= {name: (each.step, value) for name, value in each.metrics.items()}
    return last


def _best(curve: EvaluationCurve) -> list[str]:
    """Return the best finite value and its step as text, or empty texts if there is none."""
    points = [
        (value, step)
        for step, value in zip(curve.steps, curve.values, strict=True)
        if math.isfinite(value)
    ]
    if curve.higher_is_better is None or not points:
        return ["", ""]
    sign = -1 if curve.higher_is_better else 1
    # Of equal values the first counts, as for the best checkpoint of a job.
    best, step = min(points, key=lambda point: (sign * point[0], point[1]))
    return [f"{best:.6g}", str(step)]
