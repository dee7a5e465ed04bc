"""Averages that move every few updates, with a decay that moves, and SWA, beside torch's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import (
    SWALR,
    AveragedModel,
    get_ema_multi_avg_fn,
    get_swa_multi_avg_fn,
    update_bn,
)

import optcore
from optcore.data.examples import served
from optcore.spec.duration import RunLength
from optcore.spec.weights import ShadowEma
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.weights import Ema
from tests.support.optcore.runs.small import start

NORMALISED = {
    "kind": "sequential",
    "layers": [
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 12},
        {"kind": "batch_norm"},
        {"kind": "linear", "out_features": 10},
    ],
}
BATCHES = {"kind": "digits", "batch_size": 300}
EPOCH = 5
"""Updates of an epoch of 1,500 examples."""


def averaged(
    ema: dict[str, Any],
    average_of: Callable[[nn.Module], AveragedModel],
    due: Callable[[int, AveragedModel], bool],
    **training: Any,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """
    Return the average of a run, and torch's of the same weights.

    Args:
        ema: the average in the spec.
        average_of: a function from the network to torch's average of it.
        due: whether torch's average is updated after update t, which is 1 for the first.
        training: other fields of the training.
    """
    run = start(model=NORMALISED, dataset=BATCHES, ema=ema, steps=17, **training)
    theirs, t = average_of(run.model), 0
    for report in train(run):
        if isinstance(report, StepReport):
            t += 1
            if due(t, theirs):
                theirs.update_parameters(run.model)
    assert run.spec.steps_per_epoch == EPOCH
    assert run.ema is not None
    return run.ema.tensors, theirs.module.state_dict()


@pytest.mark.parametrize("buffers", [True, False])
@pytest.mark.parametrize("every", [1, 4])
def test_an_average_every_n_updates_is_that_of_torch(every: int, buffers: bool) -> None:
    statistics = "average" if buffers else "copy"
    ema = {"decay": 0.7, "every": every, "copy_first": True, "statistics": statistics}

    ours, theirs = averaged(
        ema,
        lambda model: AveragedModel(
            model, multi_avg_fn=get_ema_multi_avg_fn(0.7), use_buffers=buffers
        ),
        lambda t, _: t % every == 0,
    )

    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_without_copy_first_the_average_holds_some_of_the_first_weights() -> None:
    """As the formula of get_ema_multi_avg_fn says, and as AveragedModel with n_averaged = 1."""

    def begun(model: nn.Module) -> AveragedModel:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.7), use_buffers=True)
        average.n_averaged.fill_(1)
        return average

    ours, theirs = averaged({"decay": 0.7, "every": 2}, begun, lambda t, _: t % 2 == 0)

    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("warmup", [0, 1, 2])
def test_an_average_reset_in_the_warmup_is_that_of_torchvisions_script(warmup: int) -> None:
    decay, every = 0.6, 2

    def due(t: int, average: AveragedModel) -> bool:
        epoch, batch = divmod(t - 1, EPOCH)
        # train_one_epoch sets n_averaged to 0 after each update in the warmup.
        if epoch < warmup or (epoch == warmup and batch == 0):
            average.n_averaged.fill_(0)
        return batch % every == 0

    ours, theirs = averaged(
        {
            "decay": decay,
            "every": every,
            "every_from": "epoch",
            "copy_first": True,
            **({"begin": {"epochs": warmup}} if warmup else {}),
        },
        lambda model: AveragedModel(
            model, avg_fn=lambda e, w, n: decay * e + (1 - decay) * w, use_buffers=True
        ),
        due,
        precision="fp64",
    )

    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-12, atol=1e-15)


def test_the_mean_is_that_of_torch() -> None:
    ours, theirs = averaged(
        {"kind": "swa", "begin": 5, "every": 3, "statistics": "copy"},
        # It takes no buffers: torch cannot divide the integers of BatchNorm.
        lambda model: AveragedModel(model, multi_avg_fn=get_swa_multi_avg_fn()),
        lambda t, _: t > 5 and t % 3 == 0,
    )

    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("buffers", [True, False])
def test_the_mean_is_that_of_torchs_default(buffers: bool) -> None:
    ema = {"kind": "swa", "begin": 5, "every": 3, "statistics": "average" if buffers else "copy"}

    ours, theirs = averaged(
        ema,
        lambda model: AveragedModel(model, use_buffers=buffers),
        lambda t, _: t > 5 and t % 3 == 0,
        precision="fp64",
    )

    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-13, atol=1e-15)


def test_the_mean_of_every_epoch_begins_where_the_loop_in_torchs_documentation_does() -> None:
    swa_start = 0

    def due(t: int, average: AveragedModel) -> bool:
        epoch, batch = divmod(t - 1, EPOCH)
        return epoch > swa_start and batch == EPOCH - 1

    ours, theirs = averaged(
        {"kind": "swa", "begin": {"epochs": swa_start + 1}},
        lambda model: AveragedModel(model, use_buffers=True),
        due,
        precision="fp64",
    )

    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-13, atol=1e-15)


def test_the_mean_has_equal_weights_in_float64() -> None:
    run = start(model=NORMALISED, ema={"kind": "swa", "begin": 4, "every": 2}, precision="fp64")
    seen = []
    for report in train(run):
        if isinstance(report, StepReport):
            seen.append(deepcopy(run.model_tensors()))

    assert run.ema is not None
    for name, tensor in run.ema.tensors.items():
        mean = sum(seen[t - 1][name] for t in (6, 8, 10, 12)) / 4
        torch.testing.assert_close(tensor, mean, rtol=1e-12, atol=1e-15)


def test_recomputed_statistics_are_those_of_update_bn() -> None:
    ema = {"kind": "swa", "begin": 4, "every": 2, "statistics": "recompute"}
    run = start(model=NORMALISED, dataset=BATCHES, ema=ema, precision="fp64")
    theirs = AveragedModel(run.model)
    for t, report in enumerate(train(run), 1):
        if isinstance(report, StepReport) and t > 4 and t % 2 == 0:
            theirs.update_parameters(run.model)
    trained = {name: tensor.clone() for name, tensor in run.model_tensors().items()}

    theirs = theirs.double()
    batches = run.dataset.train.inputs.split(300)
    update_bn([served(inputs, torch.float64) for inputs in batches], theirs)

    assert run.ema is not None
    found = theirs.module.state_dict()
    for name, tensor in run.ema.tensors.items():
        torch.testing.assert_close(tensor, found[name], rtol=1e-12, atol=1e-15)
    copies = run.model_tensors()
    assert any(not torch.equal(copies[n], run.ema.tensors[n]) for n in run.ema.statistics)
    assert trained["2.num_batches_tracked"] == 12


def test_recomputing_statistics_changes_nothing_of_the_training() -> None:
    def rows(**ema: Any) -> list[StepReport]:
        run = start(model=NORMALISED, dataset=BATCHES, evaluate_every=2, **ema)
        return [report for report in train(run) if isinstance(report, StepReport)]

    assert rows(ema={"statistics": "recompute"}) == rows()


def values(ema: dict[str, Any], weights: list[float], *, epoch: int = 1) -> list[float]:
    """Return the average of a network of one weight after each update."""
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(model.weight, 1.0)
    run = RunLength(len(weights), epoch)
    average, found = Ema(model, ShadowEma.parse(ema), run), []
    for t, weight in enumerate(weights, 1):
        nn.init.constant_(model.weight, weight)
        average.update(t)
        found.append(average.tensors["weight"].item())
    return found


@pytest.mark.parametrize(
    ("ema", "recorded"),
    [
        # timm 1.0.31 ModelEmaV3(model, decay=0.5, use_warmup=True).update(model, step=t).
        (
            {"decay": 0.5, "begin": 1, "power": 2 / 3},
            [2.0, 2.6299605249474367, 3.8149802624737186, 3.9074901312368593, 5.453745065618429],
        ),
        # ModelEmaV3(model, decay=0.9, use_warmup=True, update_after_step=2).
        (
            {"decay": 0.9, "begin": 3, "power": 2 / 3},
            [2.0, 3.0, 5.0, 4.370039475052564, 5.634392620729526],
        ),
    ],
)
def test_a_decay_that_rises_with_a_power_is_timms(
    ema: dict[str, Any], recorded: list[float]
) -> None:
    assert values(ema, [2.0, 3.0, 5.0, 4.0, 7.0]) == pytest.approx(recorded, rel=1e-15)


def test_a_decay_of_a_schedule_is_that_of_byol() -> None:
    weights = [2.0, 3.0, 5.0, 4.0, 7.0]
    expected, e = [], 1.0
    for k, w in enumerate(weights):  # BYOL's k, and the iteration of DINO's momentum_schedule
        tau = 1 - (1 - 0.6) * (math.cos(math.pi * k / len(weights)) + 1) / 2
        e = tau * e + (1 - tau) * w
        expected.append(e)

    found = values({"decay": {"kind": "cosine", "value": 0.6, "end": 1.0}}, weights)

    assert found == pytest.approx(expected, rel=1e-15)


def test_a_schedule_in_place_of_the_decay_is_a_schedule_of_the_decay() -> None:
    inside = ShadowEma.parse({"decay": {"kind": "linear", "value": 0.5, "end": 1.0}})
    beside = ShadowEma.parse({"decay": 0.5, "schedules": {"decay": {"kind": "linear", "end": 1.0}}})

    assert inside == beside
    assert ShadowEma.parse(inside.model_dump(mode="json")) == inside


def test_the_lr_of_swalr_is_a_chain() -> None:
    fall = {"kind": "cosine", "length": 12}
    for shape, strategy in (("cosine", "cos"), ("linear", "linear")):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
        before = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=12)
        after = SWALR(optimizer, swa_lr=0.05, anneal_epochs=3, anneal_strategy=strategy)  # type: ignore[arg-type]
        theirs = []
        for i in range(12):
            theirs.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            (after if i > 5 else before).step()  # swa_start is 5

        # It is at 0.2 where the constant begins: at epoch swa_start + 1.
        anneal = {"start": 0.2, "length": 3, "shape": shape}
        constant = {"kind": "constant", "factor": 0.125, "warmup": anneal}
        chain = {"kind": "chain", "schedules": [fall, constant], "boundaries": [6]}
        ours = optcore.make_schedule(chain, lr=0.4, total_steps=12)

        np.testing.assert_allclose(ours(np.arange(12)), theirs, rtol=1e-12)
