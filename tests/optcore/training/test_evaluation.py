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
}
"""A run whose test loss falls at first, and rises when its lr has."""


def test_counts_are_those_of_the_networks_answers() -> None:
    run = start(epochs=3, top_k=3, confusion=True)

    found = evaluations(run)[-1]

    examples = run.dataset.test
    with torch.no_grad():
        outputs = run.model(examples.images)
    answers = outputs.argmax(1)
    assert found.confusion is not None
    table = torch.tensor(found.confusion)
    assert table.sum(1).tolist() == torch.bincount(examples.labels, minlength=10).tolist()
    assert table.sum(0).tolist() == torch.bincount(answers, minlength=10).tolist()
    assert int(table.trace()) / 297 == found.accuracy
    ranks = (outputs > outputs.gather(1, examples.labels.unsqueeze(1))).sum(1)
    assert found.top_k == int((ranks < 3).sum()) / 297
    assert found.accuracy < found.top_k < 1


def test_a_run_ends_when_it_no_longer_gets_better() -> None:
    run = start(**OVERSHOOTING, early_stopping={"metric": "test_loss", "patience": 3})

    found = evaluations(run)

    losses = [look.loss for look in found]
    best = min(range(len(losses)), key=losses.__getitem__)
    assert run.stopped
    assert run.row == found[-1].step < 120
    assert len(losses) - 1 - best == 3


def test_a_run_that_gets_better_to_the_end_is_not_ended_early() -> None:
    run = start(epochs=4, early_stopping={"metric": "test_accuracy", "patience": 2})

    found = evaluations(run)

    assert not run.stopped
    assert [look.step for look in found] == [15, 30, 45, 60]


def test_what_is_not_better_by_enough_does_not_count() -> None:
    patient = {"metric": "test_loss", "patience": 2, "min_delta": 10.0}

    found = evaluations(start(epochs=9, early_stopping=patient))

    assert [look.step for look in found] == [15, 30, 45]


def test_a_resumed_run_ends_at_the_same_step(tmp_path: Path) -> None:
    changes = {**OVERSHOOTING, "early_stopping": {"patience": 3}, "keep_best": "test_accuracy"}
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
    found = evaluations(start(**OVERSHOOTING, keep_best="test_loss"))

    lowest = [min(look.loss for look in found[: i + 1]) for i in range(len(found))]
    news = [i == 0 or lowest[i] < lowest[i - 1] for i in range(len(found))]
    assert [look.best for look in found] == news
    assert 1 < sum(news) < len(news)


@pytest.mark.parametrize(
    ("metric", "value", "best", "expected"),
    [
        ("test_loss", 0.5, 0.6, True),
        ("test_loss", 0.6, 0.6, False),
        ("test_accuracy", 0.5, 0.6, False),
        ("ema_accuracy", 0.7, 0.6, True),
        ("test_loss", float("nan"), None, False),
        ("test_loss", float("nan"), 0.6, False),
        ("test_loss", 0.1, None, True),
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
            {"keep_best": "ema_loss"},
            "training.keep_best: keep_best ema_loss needs an ema of kind shadow or swa, got none",
        ),
        (
            {"early_stopping": {"patience": 2, "metric": "ema_loss"}, "ema": {"kind": "keras"}},
            "training.early_stopping.metric: metric ema_loss needs an ema of kind shadow or "
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
        outputs = run.model(examples.images).float()
    expected = torch.nn.functional.cross_entropy(outputs, examples.labels)
    assert found.loss == pytest.approx(float(expected), rel=1e-6)
    with torch.no_grad():
        trained = torch.nn.functional.cross_entropy(run.model(examples.images), examples.labels)
    assert found.loss != pytest.approx(float(trained), rel=1e-6)


def test_a_plateau_of_the_training_loss_waits_where_every_step_was_skipped() -> None:
    schedule = {"kind": "plateau", "metric": "train_loss", "patience": 0}
    run = start(schedule=schedule, on_divergence="skip", loss_limit=1e-9, evaluate_every=1, steps=9)

    rows = [report for report in train(run) if isinstance(report, StepReport)]

    assert {row.lr for row in rows} == {0.1}


def test_averaged_weights_that_are_not_finite_end_a_run() -> None:
    run = start(ema={"decay": 0.9}, steps=3)
    assert run.ema is not None
    next(iter(run.ema.tensors.values())).fill_(torch.nan)

    with pytest.raises(Diverged, match="ema_loss must be finite, got nan at step 3"):
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
