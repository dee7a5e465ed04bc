"""What is kept of a step besides lr and loss, and steps that a device makes ahead of reports."""

import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from optcore.files.files import Files
from optcore.spec.training import COMPUTED, OBSERVED
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.loop import train
from optcore.training.reports import Diverged, Evaluation, Progress, Report, StepReport
from optcore.training.run import Run
from tests.support.optcore.runs import functions
from tests.support.optcore.runs.small import column, start, steps


def test_the_gradient_norm_is_before_clipping_and_without_the_loss_scale() -> None:
    optimizer = {"kind": "sgd", "lr": 0.1, "clip": {"kind": "global_norm", "max": 1e-3}}
    scale = {"kind": "fixed", "scale": 64.0}
    run = start(optimizer=optimizer, loss_scale=scale, columns=["grad_norm"])

    reports = steps(run)

    plain = start(precision="fp32", optimizer=optimizer)
    expected = []
    for report in train(plain):
        if isinstance(report, StepReport):
            grads = [param.grad for param in plain.model.parameters() if param.grad is not None]
            expected.append(math.sqrt(sum(float(g.double().square().sum()) for g in grads)))
    assert column(run, reports, "grad_norm") == pytest.approx(expected, rel=1e-6)


def test_the_update_ratio_is_how_far_the_weights_went() -> None:
    run = start(columns=["update_ratio"], precision="fp64")
    before = torch.cat([param.detach().flatten().clone() for param in run.model.parameters()])
    first = next(steps_of(run))
    after = torch.cat([param.detach().flatten() for param in run.model.parameters()])

    expected = float((after - before).norm() / before.norm())

    assert first.values == pytest.approx((expected,), rel=1e-12)


def steps_of(run: Any) -> Any:
    return (report for report in train(run) if isinstance(report, StepReport))


def test_columns_come_computed_first_in_one_order() -> None:
    asked = ["memory_mb", "loss_scale", "examples_per_s", "grad_norm"]
    run = start(columns=asked, on_divergence="skip", steps=2)

    reports = steps(run)

    assert run.spec.columns == (
        *("lr", "loss", "t", "grad_norm", "loss_scale"),
        *("examples_per_s", "memory_mb"),
    )
    assert run.spec.num_computed == 5
    assert len(reports[0].values) == 5
    assert column(run, reports, "t") == [0.0, 1.0]
    assert column(run, reports, "examples_per_s")[1] > 0
    assert column(run, reports, "memory_mb")[1] > 50


def test_every_column_that_may_be_asked_for_is_recorded() -> None:
    """On a function, whose point has coordinates."""
    run = functions.start("rosenbrock", columns=[*OBSERVED, *COMPUTED])

    reports = steps(run)

    assert run.spec.columns == ("lr", "loss", *COMPUTED, *OBSERVED)
    assert all(math.isfinite(value) for report in reports for value in report.values)


AHEAD: list[dict[str, Any]] = [
    {"epochs": 3, "evaluate_every": 7, "checkpoint_every": 10, "ema": {"decay": 0.9}},
    {"epochs": 2, "accumulate": 4, "dataset": {"kind": "digits", "batch_size": 70}},
    {"steps": 40, "schedule": {"kind": "plateau", "metric": "train_loss"}, "evaluate_every": 9},
]


@pytest.mark.parametrize("changes", AHEAD)
def test_steps_made_ahead_of_their_reports_are_the_same(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    """A GPU does not wait for each loss; what it computes and reports stays what it is."""
    plain = start(**changes)
    expected = [r for r in train(plain) if isinstance(r, StepReport | Evaluation)]
    run, found, saved = start(**changes), list[Report](), list[checkpoint.Checkpoint]()

    for report in train(run, ahead=8):
        if isinstance(report, StepReport | Evaluation):
            found.append(report)
        if isinstance(report, StepReport) and run.checkpoint_is_due and run.settled:
            saved.append(checkpoint.save(run, Files(tmp_path)))
            assert saved[-1].step == report.step + 1

    assert [r.step for r in found] == [r.step for r in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert isinstance(ours, StepReport | Evaluation)
        if isinstance(ours, StepReport):
            assert isinstance(theirs, StepReport)
            assert ours.loss == theirs.loss
        else:
            assert ours == theirs
    assert digest(run.tensors()) == digest(plain.tensors())
    every = plain.checkpoint_interval
    assert [s.step for s in saved] == [i for i in range(1, run.row + 1) if i % every == 0]


def test_a_divergence_among_steps_made_ahead_is_told_at_its_step() -> None:
    diverging: dict[str, Any] = {"optimizer": {"kind": "sgd", "lr": 1e38}, "steps": 30}
    with pytest.raises(Diverged) as expected:
        steps(start(**diverging))
    run, reports = start(**diverging), list[Report]()

    with pytest.raises(Diverged, match="loss must be finite") as caught:
        reports += train(run, ahead=8)

    assert caught.value.step == expected.value.step
    assert not run.settled


OVERFLOWING: dict[str, dict[str, Any]] = {
    "at the first step": {
        "optimizer": {"kind": "adam", "lr": 1e38, "engine": "eager", "beta1": 0.999},
    },
    "after three steps": {
        "optimizer": {"kind": "sgd", "lr": 0.1},
        "schedule": {"kind": "values", "values": [0.1] * 3 + [1e39] * 9},
    },
    "after a loss that is not finite": {
        "optimizer": {"kind": "sgd", "lr": 1e38},
        "schedule": {"kind": "values", "values": [1e38] + [1e39] * 11},
    },
}


@pytest.mark.parametrize("changes", OVERFLOWING.values(), ids=OVERFLOWING)
def test_an_overflow_among_steps_made_ahead_is_the_same_divergence(changes: dict[str, Any]) -> None:
    """On a GPU steps are made ahead: a job would end as failed, not as diverged."""
    expected = until_divergence(start(**changes), ahead=1)
    run = start(**changes)

    found = until_divergence(run, ahead=8)

    assert found == expected
    assert not run.settled


def until_divergence(run: Run, ahead: int) -> tuple[list[tuple[int, float, str]], str]:
    reports = list[Report]()
    with pytest.raises(Diverged) as caught:
        reports += train(run, ahead=ahead)
    # NaN equals nothing, not even itself.
    rows = [(r.step, r.lr, str(r.loss)) for r in reports if isinstance(r, StepReport)]
    return rows, f"{caught.value} ({caught.value.step})"


def test_a_divergence_at_the_last_step_of_a_block_leaves_nothing_to_save() -> None:
    run = start(loss_limit=1e-3, steps=30, checkpoint_every=1)
    reports = train(run, ahead=8)

    next(reports)

    assert not run.settled
    with pytest.raises(Diverged, match=r"loss must be at most 0\.001"):
        next(reports)


def test_what_shows_a_divergence_is_not_to_be_saved_after() -> None:
    """A checkpoint there would skip the step that diverges, and go on."""
    run = start()
    run.dataset.train.inputs[5] = math.nan
    reports = train(run)

    while math.isfinite(next(r.loss for r in reports if isinstance(r, StepReport))):
        assert run.settled

    assert not run.settled
    with pytest.raises(Diverged):
        next(reports)


def test_a_gradient_that_was_not_computed_has_no_norm(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"on_divergence": "skip", "columns": ["grad_norm"]}
    run = start(**changes)
    run.dataset.train.inputs[5] = math.nan

    reports = steps(run)

    norms = column(run, reports, "grad_norm")
    assert [math.isnan(norm) for norm in norms] == [math.isnan(r.loss) for r in reports]
    assert sum(math.isnan(norm) for norm in norms) == 1


def test_a_fixed_scale_is_recorded_and_divided_out_of_the_norm() -> None:
    plain = start(columns=["grad_norm", "loss_scale"])
    run = start(
        loss_scale={"kind": "fixed", "scale": 128.0, "drop_overflow": False},
        columns=["grad_norm", "loss_scale"],
    )

    expected, reports = steps(plain), steps(run)

    assert column(run, reports, "grad_norm") == column(plain, expected, "grad_norm")
    assert set(column(run, reports, "loss_scale")) == {128.0}


def test_the_speed_counts_examples_and_leaves_evaluations_out() -> None:
    run = start(columns=["examples_per_s"], evaluate_every=4, steps=12, accumulate=3)
    began, times, reports = time.perf_counter(), list[float](), list[StepReport]()

    for report in train(run):
        if isinstance(report, StepReport):
            reports.append(report)
            times.append(time.perf_counter() - began)
        elif isinstance(report, Evaluation):
            time.sleep(0.2)  # whoever drives the loop takes its time with it
        if not isinstance(report, Progress):
            began = time.perf_counter()

    speeds = column(run, reports, "examples_per_s")
    assert sum(speed * took for speed, took in zip(speeds, times, strict=True)) == pytest.approx(
        12 * 300, rel=0.5
    )
    assert min(speeds) > 300 / 0.2
