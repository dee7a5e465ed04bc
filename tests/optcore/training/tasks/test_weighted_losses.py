"""Losses in which targets do not count, or count differently: batch by batch as all at once."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from optcore.spec.errors import SpecError
from optcore.spec.former.translation import former_rules
from optcore.spec.run import RunSpec
from optcore.training.loop import train
from optcore.training.reports import Diverged, Evaluation
from optcore.training.run import Run
from tests.support.optcore.runs.small import NOWHERE, evaluations, spec_of, start, steps

WEIGHTS = [1.0, 0.5, 0.0, 2.0, 1.0, 1.0, 3.0, 1.0, 0.25, 1.0]


@pytest.mark.parametrize(
    "loss",
    [
        {"ignore_index": 2},
        {"class_weights": WEIGHTS},
        {"class_weights": WEIGHTS, "ignore_index": 2, "label_smoothing": 0.25},
    ],
    ids=str,
)
def test_the_loss_of_an_evaluation_does_not_depend_on_its_batches(loss: dict[str, Any]) -> None:
    """The last of 1,001 examples is a batch by itself, and may not count."""
    run = start(validation=1001, loss={"kind": "cross_entropy", **loss}, steps=4)

    found = evaluations(run)[-1]

    validation = run.dataset.validation
    assert validation is not None
    table = torch.tensor(loss.get("class_weights", [1.0] * 10))
    with torch.no_grad():
        outputs = run.model(validation.inputs)
    expected = nn.functional.cross_entropy(
        outputs,
        validation.targets,
        table,
        ignore_index=loss.get("ignore_index", -100),
        label_smoothing=loss.get("label_smoothing", 0.0),
    )
    assert found.metric("val_loss") == pytest.approx(float(expected), rel=1e-6)


def test_a_batch_in_which_no_target_counts_changes_nothing() -> None:
    dataset = {"kind": "digits", "batch_size": 1}
    loss = {"kind": "cross_entropy", "ignore_index": 3}

    rows = steps(start(dataset=dataset, loss=loss, steps=40, optimizer={"kind": "sgd", "lr": 0.01}))

    assert 0.0 in [row.loss for row in rows]
    assert all(math.isfinite(row.loss) for row in rows)


def test_an_evaluation_in_which_no_target_counts_ends_the_run_with_a_sentence() -> None:
    run = start(validation=1)
    assert run.dataset.validation is not None
    index = int(run.dataset.validation.targets[0])
    run = start(validation=1, loss={"kind": "cross_entropy", "ignore_index": index})

    with pytest.raises(Diverged, match="val_loss must be finite, got nan"):
        evaluations(run)


def test_no_metric_counts_targets_that_the_loss_ignores() -> None:
    run = start(
        epochs=4,
        validation=0.3,
        loss={"kind": "cross_entropy", "ignore_index": 3},
        top_k=2,
        confusion=True,
        metrics=["macro_f1"],
    )

    found = evaluations(run)[-1]

    assert found.metric("val_top_k") >= found.metric("val_accuracy")
    table = torch.tensor(found.metrics["val_confusion"])
    assert table[3].sum() == 0
    assert int(table.trace()) / int(table.sum()) == pytest.approx(found.metric("val_accuracy"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"loss": {"kind": "cross_entropy", "class_weights": [1e39] * 10}},
            "training.loss.class_weights: class_weights must be at most 3.40282e+38, got 1e+39",
        ),
        (
            {"loss": {"kind": "cross_entropy", "class_weights": [1e-50] * 10}},
            "training.loss.class_weights: class_weights must have a weight above 0 in float32, got "
            "at most 1e-50",
        ),
        (
            {"loss": {"kind": "cross_entropy", "class_weights": [1.0, 2.0]}},
            "training.loss.class_weights: class_weights must have a weight for each of the 10 "
            "classes of digits, got 2",
        ),
        (
            {"loss": {"kind": "cross_entropy", "ignore_index": 3}, "accumulate": 2},
            "training.accumulate: accumulate must be 1 for a loss with class_weights or "
            "ignore_index, whose batches have different weights, got 2",
        ),
        (
            {"metrics": ["macro_f1", "macro_f1"]},
            "training.metrics[1]: metrics must differ, got 'macro_f1' twice",
        ),
    ],
)
def test_weights_that_cannot_be_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(**changes)

    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("fill", [math.inf, math.nan])
def test_test_examples_that_are_no_numbers_do_not_end_a_run(fill: float) -> None:
    """Test data decide nothing."""
    run = start(validation=0.2, keep_best="val_loss")
    run.dataset.test.inputs.fill_(fill)

    found = evaluations(run)[-1]

    assert run.settled
    assert not math.isfinite(found.metric("test_loss"))
    assert math.isfinite(found.metric("val_loss"))


COLUMNS = {
    "kind": "sequential",
    "layers": [{"kind": "conv2d", "out_channels": 11, "kernel_size": 8}],
}


@pytest.mark.parametrize(
    "training",
    [
        {"keep_best": "test_accuracy"},
        {"early_stopping": {"metric": "test_accuracy", "patience": 9}},
        {"keep_best": "ema_accuracy", "ema": {"decay": 0.5}},
    ],
    ids=str,
)
def test_sequences_of_a_run_of_0_2_0_are_chosen_by_their_accuracy(training: dict[str, Any]) -> None:
    data = spec_of(model=COLUMNS, loss={"kind": "ctc"}, epochs=2).model_dump()
    data["training"] |= training
    with former_rules():
        spec = RunSpec.parse(data)

    found = [r for r in train(Run.start(spec, data_dir=NOWHERE)) if isinstance(r, Evaluation)]

    assert [each.step for each in found] == [15, 30]
