"""The loop: what it reports, when, and how it ends."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from optcore.files.files import Files
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.loop import steps_alone, train
from optcore.training.reports import Diverged, Evaluation, Progress, Report, StepReport
from optcore.training.run import Run
from tests.support.optcore.runs.image_run import spec, start, steps

HELD_OUT = {"kind": "digits", "batch_size": 64, "validation": 92}
"""Digits with 22 batches to train on."""


def test_a_run_reports_every_step_once_and_evaluates_every_epoch() -> None:
    run = start(spec(dataset=HELD_OUT))

    reports = list(train(run))

    assert sum(isinstance(report, Progress) for report in reports) == 3
    rows = [report for report in reports if isinstance(report, StepReport)]
    looks = [report for report in reports if isinstance(report, Evaluation)]
    assert [row.step for row in rows] == list(range(44))
    assert [look.step for look in looks] == [22, 44]
    assert rows[0].lr == 0.0
    assert rows[5].lr == 0.01
    assert [look.examples for look in looks] == [{"val": 92}, {"val": 92, "test": 297}]
    assert 0.5 < looks[0].metric("val_accuracy") < looks[1].metric("val_accuracy")
    assert run.model.training


STOPPING = {"metric": "val_loss", "patience": 1, "min_delta": 10.0}


@pytest.mark.parametrize("ahead", [1, 8])
@pytest.mark.parametrize(
    "training",
    [
        {"steps": 30, "evaluate_every": 7},
        {"steps": 30, "evaluate_every": 1},
        {"steps": 30, "evaluate_every": None, "checkpoint_every": 4},
        {"epochs": 2},
        {"epochs": 5, "early_stopping": STOPPING},
        {"steps": 30, "evaluate_every": 7, "on_divergence": "skip", "loss_limit": 2.5},
    ],
    ids=str,
)
def test_steps_alone_counts_the_steps_before_the_next_other_report(
    training: dict[str, Any], ahead: int
) -> None:
    run = start(spec(training=training, dataset=HELD_OUT))

    reports = list(train(run, ahead=ahead))

    assert alone(run, reports) == following(reports)


def test_steps_alone_of_a_resumed_run(tmp_path: Path) -> None:
    interrupted = start(spec(dataset=HELD_OUT))
    steps(interrupted, 10)
    run = start(spec(dataset=HELD_OUT))
    files = Files(tmp_path)
    checkpoint.restore(run, files, checkpoint.save(interrupted, files).path)

    reports = list(train(run))

    assert alone(run, reports) == following(reports) == [*range(11, -1, -1), *range(21, -1, -1)]


def test_steps_alone_is_0_where_progress_may_be_reported() -> None:
    run = start(spec(training={"epochs": 1, "accumulate": 2}))

    assert set(alone(run, list(train(run)))) == {0}


def alone(run: Run, reports: list[Report]) -> list[int]:
    """Return what the loop knows at every step."""
    return [steps_alone(run, it.step) for it in reports if isinstance(it, StepReport)]


def following(reports: list[Report]) -> list[int]:
    """Return how many steps come right after every step."""
    kinds = [type(it) for it in reports]
    return [
        next((n for n, other in enumerate(kinds[i + 1 :]) if other is not StepReport), 0)
        for i, kind in enumerate(kinds)
        if kind is StepReport
    ]


def test_a_network_learns_what_it_is_shown() -> None:
    run = start(spec(model={"kind": "mlp", "hidden": [64]}, training={"epochs": 20}))

    *_, last = train(run)

    assert isinstance(last, Evaluation)
    assert last.metric("test_accuracy") > 0.9


def test_two_runs_of_a_spec_have_the_same_bits() -> None:
    first = start(spec())
    first_steps = steps(first)

    second = start(spec())
    second_steps = steps(second)

    assert first_steps == second_steps
    assert digest(first.tensors()) == digest(second.tensors())


def test_channels_last_changes_the_losses_by_rounding_only() -> None:
    expected = steps(start(spec()), 20)
    contiguous = start(spec())
    contiguous.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    for ours, theirs in zip(steps(contiguous, 20), expected, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)


def test_a_loss_that_is_not_finite_is_reported_and_ends_the_run() -> None:
    run = start(spec(optimizer={"kind": "sgd", "lr": 1e38}, schedule={"kind": "constant"}))
    reports: list[Report] = []

    with pytest.raises(Diverged, match=r"loss must be finite, got (nan|inf) at step \d") as caught:
        reports.extend(train(run))

    last = reports[-1]
    assert isinstance(last, StepReport)
    assert not math.isfinite(last.loss)
    assert last.step == caught.value.step == run.t


def test_weights_that_are_not_finite_after_the_last_update_are_a_divergence() -> None:
    run = start(
        spec(
            optimizer={"kind": "sgd", "lr": 1e38},
            schedule={"kind": "constant"},
            training={"steps": 1},
        )
    )
    reports: list[Report] = []

    with pytest.raises(Diverged, match=r"loss must be finite, got (nan|inf) at step 1"):
        reports.extend(train(run))

    assert isinstance(reports[-1], Evaluation)
    assert not math.isfinite(reports[-1].metric("test_loss"))
