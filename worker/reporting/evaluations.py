"""Evaluations as they are stored: the data of an entry of the history, and a job's result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore.metrics.base import Value
from optcore.training.reports import Evaluation
from store.jobs.evaluations import FORMER_NAMES

FORMER_RESULT = {
    "test_loss": "test_loss",
    "test_accuracy": "test_accuracy",
    "test_sequence_accuracy": "test_accuracy",
}
"""What API processes of 0.2.0, which may run beside a worker during an upgrade, require."""


def event_of(evaluation: Evaluation) -> dict[str, Any]:
    """
    Return the data of the entry about *evaluation* in the history of its job.

    A run that began in a release up to 0.2.0 keeps the names and the order that metrics had in that
    release. If a resumed run repeats an evaluation, its data are compared, as text, with the stored
    data, so both must have the same names and order.
    """
    if not evaluation.former:
        return {"step": evaluation.step, **evaluation.metrics}
    found = {
        former: evaluation.metrics[name]
        for name, former in FORMER_NAMES.items()
        if name in evaluation.metrics
    }
    return {"step": evaluation.step, **found}


def numbers_and_matrices(metrics: Mapping[str, Value]) -> dict[str, dict[str, Any]]:
    """Return *metrics* as they are in a result: numbers, and confusion matrices."""
    numbers = {name: each for name, each in metrics.items() if isinstance(each, float)}
    return {
        "metrics": numbers,
        "matrices": {name: each for name, each in metrics.items() if name not in numbers},
    }


def result_of(last: Evaluation) -> dict[str, Any]:
    """Return the result of a job: the metrics of its last evaluation."""
    result: dict[str, Any] = numbers_and_matrices(last.metrics)
    numbers = result["metrics"]
    return result | {
        former: numbers[name] for name, former in FORMER_RESULT.items() if name in numbers
    }
