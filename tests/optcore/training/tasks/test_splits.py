"""Three splits: a run trains on one, chooses by another, and looks at the third at its end."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from optcore.data.examples import Dataset, Examples
from optcore.data.load import load
from optcore.spec.datasets.catalogue import DATASETS
from optcore.spec.datasets.validation_split import validation_positions
from optcore.spec.former.translation import former_rules
from optcore.spec.run import RunSpec
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.loop import train
from optcore.training.reports import Evaluation, StepReport
from optcore.training.run import Run
from tests.support.optcore.runs.small import NOWHERE, evaluations, spec_of, start

CHOOSING: dict[str, dict[str, Any]] = {
    "keep_best": {"keep_best": "val_accuracy", "evaluate_every": 3},
    "early_stopping": {
        "early_stopping": {"patience": 2, "min_delta": 0.05},
        "evaluate_every": 4,
        "epochs": 8,
    },
    "plateau": {
        "schedule": {"kind": "plateau", "patience": 0, "threshold": 0.05},
        "evaluate_every": 3,
        "epochs": 4,
    },
    "greedy": {
        "schedule": {"kind": "greedy", "metric": "val_accuracy", "patience": 0},
        "evaluate_every": 3,
        "epochs": 4,
    },
    "the average": {"keep_best": "ema_val_loss", "ema": {"decay": 0.9}, "evaluate_every": 3},
}


def untested(reports: list[Any]) -> Iterator[Any]:
    """Yield the reports, without the metrics of the test examples."""
    for report in reports:
        if isinstance(report, Evaluation):
            metrics = {name: x for name, x in report.metrics.items() if "test_" not in name}
            yield replace(report, metrics=metrics, examples={"val": report.examples["val"]})
        else:
            yield report


@pytest.mark.parametrize("name", CHOOSING)
def test_other_test_examples_change_nothing_but_the_test_metrics(name: str) -> None:
    spec = spec_of(validation=0.2, **CHOOSING[name])
    digits = load(spec.dataset, NOWHERE)
    noise = Examples(torch.rand(50, 1, 8, 8), torch.zeros(50, dtype=torch.int64))

    runs = [
        Run.of(spec, Dataset(digits.train, test, digits.validation))
        for test in (digits.test, noise)
    ]
    ours, theirs = (list(train(run)) for run in runs)

    assert list(untested(ours)) == list(untested(theirs))
    assert digest(runs[0].tensors()) == digest(runs[1].tensors())
    assert ours[-1] != theirs[-1]


@pytest.mark.parametrize("name", CHOOSING)
def test_the_test_examples_are_evaluated_once_at_the_end(name: str) -> None:
    found = evaluations(start(validation=0.2, **CHOOSING[name]))

    tested = [any("test_" in metric for metric in each.metrics) for each in found]
    assert tested == [*[False] * (len(found) - 1), True]
    assert len(found) > 1


def test_without_validation_examples_a_run_is_evaluated_once() -> None:
    found = evaluations(start(epochs=3))

    assert [each.step for each in found] == [45]
    assert found[0].metrics.keys() == {"test_loss", "test_accuracy"}


def test_a_share_holds_out_the_same_examples_when_others_are_appended() -> None:
    before, after = (validation_positions(n, 0.1).tolist() for n in (10_000, 60_000))

    assert [position for position in after if position < 10_000] == before
    assert 900 < len(before) < 1100
    assert 5_700 < len(after) < 6_300


@pytest.mark.parametrize("count", [1, 77, 9_999])
def test_a_number_holds_out_as_many_examples(count: int) -> None:
    found = validation_positions(10_000, count)

    assert len(found) == len(np.unique(found)) == count
    assert (np.diff(found) > 0).all()


def test_the_positions_are_those_of_every_release() -> None:
    """A job of today has to find its examples tomorrow."""
    keys = [splitmix64(position) for position in range(500)]

    assert validation_positions(500, 0.1).tolist() == [
        position for position, key in enumerate(keys) if key < 0.1 * 2**64
    ]
    smallest = sorted(range(500), key=keys.__getitem__)[:9]
    assert validation_positions(500, 9).tolist() == sorted(smallest)
    assert validation_positions(40, 0.1).tolist() == [2, 32, 33]


def splitmix64(position: int) -> int:
    """Return output number *position* of SplitMix64 with seed 0, in Python's integers."""
    z = (position + 1) * 0x9E3779B97F4A7C15 % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


# mnist is tested below, and its lines in test_mnist_lines; the others refuse the field.
OTHERS = (
    "mnist",
    "mnist_lines",
    "mnist_lines_rotated",
    "text",
    "quadratic",
    "rosenbrock",
    "valley",
)


@pytest.mark.parametrize("kind", [kind for kind in DATASETS if kind not in OTHERS])
@pytest.mark.parametrize("validation", [0.25, 40])
def test_what_is_held_out_is_not_trained_on(kind: str, validation: float) -> None:
    spec = DATASETS[kind].parse({"kind": kind, "batch_size": 10, "validation": validation})
    whole = load(DATASETS[kind].parse({"kind": kind, "batch_size": 10}), NOWHERE)  # type: ignore[arg-type]

    found = load(spec, NOWHERE)  # type: ignore[arg-type]

    assert found.validation is not None
    assert len(found.train) == spec.train_examples
    assert len(found.validation) == spec.validation_examples
    chosen = validation_positions(len(whole.train), validation).copy()
    rest = np.setdiff1d(np.arange(len(whole.train)), chosen)
    for part, positions in ((found.validation, chosen), (found.train, rest)):
        assert torch.equal(part.inputs, whole.train.inputs[positions])
        assert torch.equal(part.targets, whole.train.targets[positions])
    assert torch.equal(found.test.inputs, whole.test.inputs)


def test_a_run_of_release_0_2_0_evaluates_and_chooses_by_the_test_examples() -> None:
    """Its record says so: the job was accepted."""
    data = spec_of(epochs=3).model_dump()
    data["training"] |= {
        "keep_best": "test_accuracy",
        "early_stopping": {"metric": "test_loss", "patience": 9},
    }
    with former_rules():
        spec = RunSpec.parse(data)

    run = Run.start(spec, data_dir=NOWHERE)
    reports = list(train(run))

    found = [report for report in reports if isinstance(report, Evaluation)]
    assert [each.step for each in found] == [15, 30, 45]
    assert all(each.former for each in found)
    assert {name for each in found for name in each.metrics} == {"test_loss", "test_accuracy"}
    assert run.best is not None
    assert run.best.value == max(each.metric("test_accuracy") for each in found)
    rows = [report for report in reports if isinstance(report, StepReport)]
    assert rows == [r for r in train(start(epochs=3)) if isinstance(r, StepReport)]
