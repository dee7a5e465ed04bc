"""What evaluations count, the best of them, and the end they may bring."""

from pathlib import Path
from typing import Any

import pytest
import torch

from optcore.files.files import Files
from optcore.spec.errors import SpecError
from optcore.spec.evaluation import better
from optcore.training.checkpoints import checkpoint
from optcore.training.loop import train
from optcore.training.reports import Diverged, Evaluation, StepReport
from tests.support.optcore.runs.small import evaluations, spec_of, start

OVERSHOOTING: dict[str, Any] = {
    "optimizer": {"kind": "sgd", "lr": 0.5},
    "schedule": {"kind": "exponential", "rate": 1.3, "every": 5},
    "steps": 120,
    "evaluate_every": 5,
    "validation": 0.2,
}
"""A run whose validation loss falls at first, and rises when its lr has."""


def test_counts_are_those_of_the_networks_answers() -> None:
    run = start(epochs=3, top_k=3, confusion=True)

    found = evaluations(run)[-1]

    examples = run.dataset.test
    with torch.no_grad():
        outputs = run.model(examples.inputs)
    answers = outputs.argmax(1)
    table = torch.tensor(found.metrics["test_confusion"])
    assert table.sum(1).tolist() == torch.bincount(examples.targets, minlength=10).tolist()
    assert table.sum(0).tolist() == torch.bincount(answers, minlength=10).tolist()
    assert int(table.trace()) / 297 == found.metric("test_accuracy")
    ranks = (outputs > outputs.gather(1, examples.targets.unsqueeze(1))).sum(1)
    assert found.metric("test_top_k") == int((ranks < 3).sum()) / 297
    assert found.metric("test_accuracy") < found.metric("test_top_k") < 1


def test_a_run_ends_when_it_no_longer_gets_better() -> None:
    run = start(**OVERSHOOTING, early_stopping={"metric": "val_loss", "patience": 3})

    found = evaluations(run)

    losses = [look.metric("val_loss") for look in found]
    best = min(range(len(losses)), key=losses.__getitem__)
    assert run.stopped
    assert run.row == found[-1].step < 120
    assert len(losses) - 1 - best == 3


def test_a_run_that_gets_better_to_the_end_is_not_ended_early() -> None:
    run = start(epochs=4, validation=300, early_stopping={"metric": "val_loss", "patience": 2})

    found = evaluations(run)

    assert not run.stopped
    assert [look.step for look in found] == [12, 24, 36, 48]


def test_what_is_not_better_by_enough_does_not_count() -> None:
    patient = {"metric": "val_loss", "patience": 2, "min_delta": 10.0}

    found = evaluations(start(epochs=9, validation=300, early_stopping=patient))

    assert [look.step for look in found] == [12, 24, 36]


def test_a_resumed_run_ends_at_the_same_step(tmp_path: Path) -> None:
    changes = {**OVERSHOOTING, "early_stopping": {"patience": 3}, "keep_best": "val_accuracy"}
    whole = evaluations(start(**changes))
    run, seen = start(**changes), list[Evaluation]()
    for report in train(run):
        seen += [report] if isinstance(report, Evaluation) else []
        if len(seen) == len(whole) - 2 and isinstance(report, StepReport):
            break
    saved = checkpoint.save(run, Files(tmp_path))
    continued = start(**changes)
    checkpoint.restore(continued, Files(tmp_path), saved.path)

    assert seen + evaluations(continued) == whole
    assert continued.stopped


def test_the_best_is_marked_whenever_there_is_a_new_one() -> None:
    found = evaluations(start(**OVERSHOOTING, keep_best="val_loss"))

    lowest = [min(look.metric("val_loss") for look in found[: i + 1]) for i in range(len(found))]
    news = [i == 0 or lowest[i] < lowest[i - 1] for i in range(len(found))]
    assert [look.best for look in found] == news
    assert 1 < sum(news) < len(news)


@pytest.mark.parametrize(
    ("metric", "value", "best", "expected"),
    [
        ("val_loss", 0.5, 0.6, True),
        ("val_loss", 0.6, 0.6, False),
        ("val_accuracy", 0.5, 0.6, False),
        ("ema_val_accuracy", 0.7, 0.6, True),
        ("val_rmse", 0.7, 0.6, False),
        ("val_r2", 0.7, 0.6, True),
        ("test_accuracy", 0.7, 0.6, True),  # a run of release 0.2.0
        ("ema_loss", 0.7, 0.6, False),
        ("val_loss", float("nan"), None, False),
        ("val_loss", float("nan"), 0.6, False),
        ("val_loss", 0.1, None, True),
    ],
)
def test_better_is_lower_for_losses_and_higher_for_accuracies(
    metric: Any, value: float, best: float | None, expected: bool
) -> None:
    assert better(metric, value, best) is expected


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"keep_best": "ema_val_loss"},
            "training.keep_best: keep_best ema_val_loss needs an ema of kind shadow or swa, got "
            "none",
        ),
        (
            {"early_stopping": {"patience": 2, "metric": "ema_val_loss"}, "ema": {"kind": "keras"}},
            "training.early_stopping.metric: metric ema_val_loss needs an ema of kind shadow or "
            "swa, got keras",
        ),
        (
            {"early_stopping": {"patience": 2}, "evaluate_every": None},
            "training.evaluate_every: evaluate_every is required for early_stopping, which "
            "follows evaluations, got null",
        ),
        (
            {"top_k": 11},
            "training.top_k: top_k must be at most 10, the number of classes of digits, got 11",
        ),
        (
            {"keep_best": "test_loss"},
            "training.keep_best: keep_best must be measured on the validation examples "
            "(dataset.validation), since test examples must not choose, got 'test_loss'; did you "
            "mean 'val_loss'?",
        ),
        (
            {"keep_best": "val_acuracy"},
            "training.keep_best: keep_best must be val_ or ema_val_ followed by the name of a "
            "metric, got 'val_acuracy'; did you mean 'val_accuracy'?",
        ),
        (
            {"early_stopping": {"patience": 2}},
            "training.early_stopping.metric: metric val_loss needs validation examples, and digits "
            "has none: hold out a part of the training examples with dataset.validation, such as "
            "0.1",
        ),
        (
            {"schedule": {"kind": "plateau"}},
            "schedule.metric: metric val_loss needs validation examples, and digits has none: hold "
            "out a part of the training examples with dataset.validation, such as 0.1",
        ),
        (
            {"keep_best": "val_mae", "validation": 0.2},
            "training.keep_best: keep_best must be measured in this run (val_loss, val_accuracy), "
            "got 'val_mae'",
        ),
        (
            {"metrics": ["macro_f2"]},
            "training.metrics[0]: metrics must be metrics of the task classification (loss, "
            "accuracy, macro_f1), got 'macro_f2'; did you mean 'macro_f1'?",
        ),
        (
            {"metrics": ["confusion"]},
            "training.metrics[0]: metrics must not contain confusion, which has the field "
            "training.confusion, got 'confusion'",
        ),
        (
            {"validation": 1.5},
            "dataset.validation: validation must be a share between 0 and 1, or a number of "
            "examples of at least 1, got 1.5",
        ),
        (
            {"validation": 1500},
            "dataset.validation: validation must hold out from 1 to 1499 of the 1500 training "
            "examples, got 1500",
        ),
        (
            {"columns": ["grad_norm", "grad_norm"]},
            "training.columns[1]: columns must differ, got 'grad_norm' twice",
        ),
    ],
)
def test_evaluations_that_cannot_be_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(**changes)

    assert str(caught.value) == text


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"kind": "schedule_free_adamw", "lr": 0.01}},
        {"optimizer": {"kind": "adam"}, "ema": {"kind": "keras", "decay": 0.5}},
        {"precision": "bf16"},
    ],
)
def test_what_is_evaluated_is_what_is_meant(changes: dict[str, Any]) -> None:
    """The averaged weights where an optimizer has such, in the precision of the training."""
    run = start(epochs=2, **changes)

    found = evaluations(run)[-1]

    examples = run.dataset.test
    with torch.no_grad(), run.optimizer.averaged(), run.autocast:
        outputs = run.model(examples.inputs).float()
    expected = torch.nn.functional.cross_entropy(outputs, examples.targets)
    assert found.metric("test_loss") == pytest.approx(float(expected), rel=1e-6)
    with torch.no_grad():
        trained = torch.nn.functional.cross_entropy(run.model(examples.inputs), examples.targets)
    assert found.metric("test_loss") != pytest.approx(float(trained), rel=1e-6)


def test_a_plateau_of_the_training_loss_waits_where_every_step_was_skipped() -> None:
    schedule = {"kind": "plateau", "metric": "train_loss", "patience": 0}
    run = start(schedule=schedule, on_divergence="skip", loss_limit=1e-9, evaluate_every=1, steps=9)

    rows = [report for report in train(run) if isinstance(report, StepReport)]

    assert {row.lr for row in rows} == {0.1}


def test_averaged_weights_that_are_not_finite_end_a_run() -> None:
    run = start(ema={"decay": 0.9}, steps=3)
    assert run.ema is not None
    next(iter(run.ema.tensors.values())).fill_(torch.nan)

    with pytest.raises(Diverged, match="ema_test_loss must be finite, got nan at step 3"):
        evaluations(run)


def test_a_search_looks_at_the_first_loss_once() -> None:
    """L-BFGS with one look a step: BatchNorm sees each batch once, the row has its loss."""
    optimizer = {"kind": "lbfgs", "lr": 0.1, "max_iter": 1}
    layers = [{"kind": "flatten"}, {"kind": "batch_norm"}, {"kind": "linear", "out_features": 10}]
    run = start(
        model={"kind": "sequential", "layers": layers},
        optimizer=optimizer,
        schedule={"kind": "constant"},
        columns=["grad_norm"],
        steps=3,
    )

    rows = [report for report in train(run) if isinstance(report, StepReport)]

    assert int(run.model_tensors()["1.num_batches_tracked"]) == 3
    assert all(value > 0 for row in rows for value in row.values)
