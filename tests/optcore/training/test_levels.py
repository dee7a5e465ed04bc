"""MindSpore's levels of mixed precision, against numbers recorded from MindSpore 2.10."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import optcore
from optcore.networks.build import build
from optcore.spec.errors import SpecError
from optcore.spec.layers.activations import Relu
from optcore.spec.layers.base import TensorSpec
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.convolution import Conv2d
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.normalization import BatchNorm
from optcore.spec.layers.shaping import Flatten
from optcore.spec.loss_scale import DynamicLossScale
from optcore.spec.networks.network import Network
from optcore.training.levels import LEVELS, forward_of
from tests.support.optcore.runs.small import column, spec_of, start, steps

RECORDED = json.loads((Path(__file__).parents[2] / "golden" / "amp_mindspore.json").read_text())
LAYERS: list[AnyLayer] = [
    Conv2d(kind="conv2d", name="conv", out_channels=2, kernel_size=3),
    BatchNorm(kind="batch_norm", name="bn"),
    Relu(kind="relu"),
    Flatten(kind="flatten"),
    Linear(kind="linear", name="fc", out_features=3),
]
IMAGES = torch.tensor(RECORDED["images"]).reshape(4, 1, 5, 5)
LABELS = torch.tensor(RECORDED["labels"])
every_level = pytest.mark.parametrize("precision", LEVELS)


def network() -> nn.Sequential:
    """Return the recorded network, in training mode."""
    model = build(Network(tuple(LAYERS), TensorSpec.of((1, 5, 5))))
    shaped = {name: t.reshape_as(model.state_dict()[name]) for name, t in weights().items()}
    model.load_state_dict(shaped, strict=False)  # the statistics stay as they are
    return model.train()


def weights() -> dict[str, Tensor]:
    return {name: torch.tensor(values) for name, values in RECORDED["weights"].items()}


def recorded(precision: str) -> dict[str, Any]:
    return dict(RECORDED["levels"][precision.removeprefix("mindspore_").upper()])


@every_level
def test_the_outputs_are_mindspores_to_the_last_float16(precision: Any) -> None:
    found = forward_of(network(), precision)(IMAGES)

    expected = torch.tensor(recorded(precision)["outputs"]).reshape(4, 3)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert not torch.equal(forward_of(network(), "fp32")(IMAGES), expected)


@every_level
def test_losses_and_weights_of_a_training_are_mindspores(precision: Any) -> None:
    model = network()
    forward, loss_of = forward_of(model, precision), nn.CrossEntropyLoss()
    spec = {"kind": "momentum", "dialect": "mindspore", "lr": 0.1}
    optimizer = optcore.make_optimizer(model.named_parameters(), spec, loss_scale=1024.0)
    losses = []
    after_one: dict[str, list[float]] = {}

    for _ in range(6):
        optimizer.zero_grad()
        loss = loss_of(forward(IMAGES), LABELS)
        (loss * 1024).backward()
        optimizer.step()
        losses.append(loss.item())
        after_one = after_one or {
            name: param.detach().flatten().tolist() for name, param in model.named_parameters()
        }

    assert {param.grad.dtype for param in model.parameters() if param.grad is not None} == {
        torch.float32
    }
    expected = recorded(precision)
    np.testing.assert_allclose(losses, expected["losses"], rtol=5e-4)
    for name, values in expected["after_one"].items():
        # In float32 all are off by 7e-6 to 4e-5. The sum behind the weight's gradient of the
        # convolution may be rounded to the float16 beside MindSpore's: 0.25 / 1024 * lr.
        near = 2.5e-5 if name == "conv.weight" else 1e-7
        np.testing.assert_allclose(after_one[name], values, rtol=0, atol=near, err_msg=name)


@every_level
def test_everything_that_is_kept_is_float32(precision: Any) -> None:
    run, whole = start(precision=precision), start()

    reports = steps(run)

    assert {tensor.dtype for tensor in run.tensors().values()} == {torch.float32}
    for ours, theirs in zip(reports, steps(whole), strict=True):
        assert ours.loss != theirs.loss
        assert ours.loss == pytest.approx(theirs.loss, rel=0.01)


def test_only_o2_has_a_loss_scale_of_its_own() -> None:
    """Whatever the dialect: it is the DynamicLossScaleManager() of build_train_network."""
    scales = {precision: spec_of(precision=precision).loss_scale for precision in LEVELS}

    wanted = DynamicLossScale(kind="dynamic", start=2.0**24)
    assert scales == {"mindspore_o1": None, "mindspore_o2": wanted, "mindspore_o3": None}
    run = start(precision="mindspore_o2", columns=["loss_scale"])
    assert column(run, steps(run), "loss_scale")[0] == 2.0**24


def test_o3_rounds_what_batch_norm_reads_and_o2_does_not() -> None:
    """As seen in MindSpore for a network that begins with batch_norm."""
    model = build(Network((BatchNorm(kind="batch_norm"),), TensorSpec.of((4,)))).train()
    given = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)) + 3
    norm = model[0]
    assert isinstance(norm, nn.BatchNorm1d)
    means = {}

    for precision in LEVELS:
        norm.reset_running_stats()
        outputs = forward_of(model, precision)(given)
        means[precision] = norm.running_mean.clone()  # type: ignore[union-attr]  # there is one
        assert torch.equal(outputs, outputs.half().float()) == (precision != "mindspore_o1")

    assert torch.equal(means["mindspore_o1"], means["mindspore_o2"])
    assert not torch.equal(means["mindspore_o2"], means["mindspore_o3"])


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        (
            [{"kind": "residual", "layers": [{"kind": "batch_norm"}]}],
            r"got residual at 0",
        ),
        ([{"kind": "layer_norm", "name": "norm"}], r"got layer_norm at norm"),
        (
            [{"kind": "conv2d", "out_channels": 2, "kernel_size": 2, "dilation": 2}],
            r"got conv2d at 0",
        ),
        (
            [{"kind": "reshape", "shape": [8, 8]}, {"kind": "linear", "out_features": 3}],
            r"got linear at 1",
        ),
    ],
)
def test_a_level_is_refused_for_layers_whose_casts_are_not_known(
    layers: list[dict[str, Any]], text: str
) -> None:
    tail = [{"kind": "flatten"}, {"kind": "linear", "out_features": 10}]
    model = {"kind": "sequential", "layers": layers + tail}

    with pytest.raises(SpecError, match=text) as refused:
        spec_of(model=model, precision="mindspore_o1")

    assert refused.value.problems[0].param == "training.precision"
    assert "mindspore_o1 allows only conv2d (without groups" in str(refused)
    spec_of(model=model)
