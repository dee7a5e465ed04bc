"""Evaluations as they are stored."""

import math

from optcore.metrics.base import Value
from optcore.training.reports import Evaluation
from optserve.contract.answers.jobs import Result
from store.jobs.calls.replies import json_text
from worker.reporting.evaluations import event_of, result_of


def test_an_evaluation_is_an_entry_with_the_metrics_by_name() -> None:
    evaluation = Evaluation(15, {"val_loss": 0.5, "ema_val_loss": 0.25}, {"val": 150})

    assert json_text(event_of(evaluation)) == '{"step": 15, "val_loss": 0.5, "ema_val_loss": 0.25}'


def test_a_run_of_0_2_0_repeats_its_entries_as_they_were_written() -> None:
    metrics: dict[str, Value] = {
        "test_loss": 0.5,
        "test_accuracy": 0.75,
        "test_confusion": [[1, 0], [1, 2]],
        "test_top_k": 1.0,
        "ema_test_loss": 0.25,
        "ema_test_accuracy": 0.5,
        "ema_test_top_k": 0.5,
    }
    evaluation = Evaluation(15, metrics, {"test": 4}, former=True)

    assert json_text(event_of(evaluation)) == (
        '{"step": 15, "loss": 0.5, "accuracy": 0.75, "top_k": 1.0, "confusion": [[1, 0], [1, 2]], '
        '"ema_loss": 0.25, "ema_accuracy": 0.5}'
    )


def test_a_result_has_numbers_matrices_and_what_0_2_0_requires() -> None:
    metrics: dict[str, Value] = {
        "test_loss": 0.5,
        "test_accuracy": 0.75,
        "test_confusion": [[3]],
        "val_loss": 1.0,
    }

    assert result_of(Evaluation(15, metrics, {"val": 2, "test": 4})) == {
        "metrics": {"test_loss": 0.5, "test_accuracy": 0.75, "val_loss": 1.0},
        "matrices": {"test_confusion": [[3]]},
        "test_loss": 0.5,
        "test_accuracy": 0.75,
    }


def test_a_result_may_have_metrics_that_are_no_finite_numbers() -> None:
    metrics: dict[str, Value] = {"test_rmse": math.inf, "test_r2": -math.inf, "test_mae": math.nan}

    text = json_text(result_of(Evaluation(15, metrics, {"test": 4})))

    read = Result.model_validate_json(text).metrics
    assert (read["test_rmse"], read["test_r2"]) == (math.inf, -math.inf)
    assert math.isnan(read["test_mae"])
