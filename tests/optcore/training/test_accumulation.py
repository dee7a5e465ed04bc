"""Several batches for one update: the same as one large batch."""

import math

import pytest
import torch

from optcore.training.loop import train
from optcore.training.reports import Progress, StepReport
from tests.support.optcore.runs.small import spec_of, start, steps

Traced = tuple[list[StepReport], dict[str, torch.Tensor]]


@pytest.mark.parametrize("shuffle", [False, True])
def test_accumulated_batches_are_the_large_batch_in_float64(shuffle: bool) -> None:
    """Three batches of 130 against one of 390; 1,500 examples leave short ones at the end."""

    def run_of(batch_size: int, accumulate: int) -> Traced:
        run = start(
            dataset={"kind": "digits", "batch_size": batch_size, "shuffle": shuffle},
            optimizer={"kind": "adam", "lr": 0.01},
            precision="fp64",
            accumulate=accumulate,
        )
        return steps(run), run.model_tensors()

    small, weights = run_of(130, 3)
    large, expected = run_of(390, 1)

    assert [report.lr for report in small] == [report.lr for report in large]
    for ours, theirs in zip(small, large, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-12)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-9, atol=1e-12)


def test_an_epoch_has_a_step_for_every_started_group_of_batches() -> None:
    spec = spec_of(
        dataset={"kind": "digits", "batch_size": 100}, accumulate=4, epochs=2, evaluate_every=None
    )

    assert spec.steps_per_epoch == math.ceil(1500 / 400) == 4
    assert spec.total_steps == 8


def test_batches_within_a_step_are_signs_of_life() -> None:
    run = start(accumulate=3, evaluate_every=None, steps=2)

    reports = list(train(run))[:6]

    assert [type(report) for report in reports] == [Progress, Progress, StepReport] * 2
    assert [report.step for report in reports] == [0, 0, 0, 1, 1, 1]
