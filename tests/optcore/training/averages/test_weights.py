"""The averaged weights and the slow ones, beside their definitions."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from optcore.spec.duration import RunLength
from optcore.spec.errors import SpecError
from optcore.spec.weights import ShadowEma
from optcore.training.loop import train
from optcore.training.reports import Evaluation, StepReport
from optcore.training.run import Run
from optcore.training.weights import Ema
from tests.support.optcore.runs.small import evaluations, spec_of, start, steps

NORMALISED = {
    "kind": "sequential",
    "layers": [
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 12},
        {"kind": "batch_norm"},
        {"kind": "linear", "out_features": 10},
    ],
}


def trace(run: Run) -> list[dict[str, Tensor]]:
    """Return the network after each step."""
    return [
        {name: tensor.clone() for name, tensor in run.model_tensors().items()}
        for report in train(run)
        if isinstance(report, StepReport)
    ]


@pytest.mark.parametrize(
    ("rise", "decay_at"),
    [
        ({}, lambda t: 0.8),
        ({"warmup": True}, lambda t: min(0.8, (1 + t) / (10 + t))),
        ({"ramp": 7.0}, lambda t: 0.8 * (1 - math.exp(-t / 7))),
        ({"begin": 3}, lambda t: 0.8 if t > 3 else 0.0),
    ],
)
def test_the_average_is_its_formula_statistics_included(
    rise: dict[str, object], decay_at: Callable[[int], float]
) -> None:
    run = start(model=NORMALISED, ema={"decay": 0.8, **rise}, precision="fp64")
    mean = {name: tensor.clone() for name, tensor in run.model_tensors().items()}

    for t, weights in enumerate(trace(run), 1):
        decay = decay_at(t)
        mean = {name: decay * mean[name] + (1 - decay) * weights[name] for name in mean}

    assert run.ema is not None
    assert set(mean) - set(run.ema.tensors) == {"2.num_batches_tracked"}
    for name, tensor in run.ema.tensors.items():
        torch.testing.assert_close(tensor, mean[name], rtol=1e-12, atol=0)


def test_an_average_that_begins_with_the_first_update_is_timms() -> None:
    model = torch.nn.Linear(1, 1, bias=False).double()
    average = Ema(model, ShadowEma(decay=0.9, begin=1), RunLength(4, 4))
    found = []

    for t, weight in enumerate([2.0, 3.0, 5.0, 4.0], 1):
        torch.nn.init.constant_(model.weight, weight)
        average.update(t)
        found.append(average.tensors["weight"].item())

    # timm 1.0.31 ModelEmaV3(model, decay=0.9).update(model, step=t).
    assert found == pytest.approx([2.0, 2.1, 2.39, 2.551], rel=1e-15)


def test_the_average_changes_nothing_of_the_training_and_is_evaluated_beside_it() -> None:
    plain = list(train(start(model=NORMALISED)))
    run = start(model=NORMALISED, ema={"decay": 0.9})

    averaged = list(train(run))

    rows = [report for report in averaged if isinstance(report, StepReport)]
    assert rows == [report for report in plain if isinstance(report, StepReport)]
    (without,) = [report for report in plain if isinstance(report, Evaluation)]
    (found,) = [report for report in averaged if isinstance(report, Evaluation)]
    assert found.metrics.items() >= without.metrics.items()
    assert without.metrics.keys() == {"test_loss", "test_accuracy"}
    assert found.metric("ema_test_loss") != found.metric("test_loss")


def test_an_average_without_memory_is_what_is_trained() -> None:
    (found,) = evaluations(start(model=NORMALISED, ema={"decay": 0.0}))

    for name in ("test_loss", "test_accuracy"):
        assert found.metric(f"ema_{name}") == found.metric(name)


def test_the_average_of_half_precision_is_kept_in_float32() -> None:
    run = start(precision="bf16_true", ema={"decay": 0.999})

    steps(run)

    assert run.ema is not None
    assert {tensor.dtype for tensor in run.ema.tensors.values()} == {torch.float32}


def test_lookahead_returns_to_the_slow_weights() -> None:
    look = {"every": 4, "alpha": 0.3}
    schedule = {"kind": "constant"}
    plain = trace(start(precision="fp64", steps=4, schedule=schedule))
    run = start(precision="fp64", lookahead=look, steps=4, schedule=schedule)
    first = {name: tensor.clone() for name, tensor in run.model_tensors().items()}

    looked = trace(run)

    for name, slow in first.items():
        assert torch.equal(looked[2][name], plain[2][name])
        expected = slow + 0.3 * (plain[3][name] - slow)
        torch.testing.assert_close(looked[3][name], expected, rtol=1e-12, atol=0)
    assert run.slow is not None
    assert all(torch.equal(slow, looked[3][name]) for name, slow in run.slow.tensors.items())


def test_lookahead_and_float32_copies_exclude_each_other() -> None:
    optimizer = {"kind": "adam", "multi_precision": True}

    with pytest.raises(SpecError) as caught:
        spec_of(precision="bf16_true", lookahead={}, optimizer=optimizer)

    assert str(caught.value) == (
        "training.lookahead: lookahead must be null with multi_precision: lookahead would not set "
        "the float32 copies"
    )
