"""The evaluations of a job, and the metrics that they can have."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from optserve.contract.answers.base import Page, WireModel


class Evaluation(WireModel):
    """One evaluation of a job."""

    object: Literal["evaluation"] = "evaluation"
    step: int
    """Number of steps made before the evaluation."""
    event: int
    """Number of the entry in the history of the job, which also has the confusion matrices."""
    at: datetime
    metrics: dict[str, float]
    """Value of each metric that is a number, by names such as `val_loss` and `test_accuracy`."""


class EvaluationsPage(Page[Evaluation]):
    """One page of the evaluations of a job."""

    truncations: int
    """Number of times that steps of the job have been discarded so far. Pass it back with `after`:
    if evaluations that you have read are discarded in the meantime, the response is a 409."""


class EvaluationMetric(WireModel):
    """A metric that evaluations can have."""

    object: Literal["evaluation_metric"] = "evaluation_metric"
    name: str
    """Name without split: `accuracy`. In results and charts it is `val_accuracy`, `test_accuracy`
    and so on."""
    summary: str
    description: str
    """The full description, with formula and references."""
    package: str | None
    """Name and version of the installed package that adds it; null if it comes with optserve."""
    tasks: list[str]
    """Tasks for which the metric is defined."""
    higher_is_better: bool
    on_request: bool
    """Whether it is measured only if the job names it in `training.metrics`."""
    is_number: bool
    """Whether it is a number. A confusion matrix is none, and is not in charts."""
    chooses: list[str]
    """Names by which a job can choose its best state or end early: `val_accuracy`, and
    `ema_val_accuracy` for the averaged weights. Empty if the metric is no number."""
