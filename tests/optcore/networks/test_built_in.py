"""The built-in networks, beside the same networks as a client writes them."""

from __future__ import annotations

from typing import Any

from torch import nn

from optcore.networks.build import build
from optcore.spec.layers.base import TensorSpec
from optcore.spec.models.mnist_cnn import MnistCnn
from optcore.spec.networks.network import Network
from optcore.spec.tasks.tasks import Target
from optcore.training.checkpoints.tensor_digest import digest
from tests.support.optcore.layers.networks import layers_of
from tests.support.optcore.runs.small import start, steps

CONV: dict[str, Any] = {"kind": "conv2d", "out_channels": 20, "kernel_size": 5, "padding": 2}
LAYERS: list[dict[str, Any]] = [
    {**CONV, "name": "conv1"},
    {"kind": "relu"},
    {"kind": "max_pool2d", "kernel_size": 2},
    {**CONV, "name": "conv2"},
    {"kind": "relu"},
    {"kind": "max_pool2d", "kernel_size": 2},
    {"kind": "flatten"},
    {"kind": "linear", "name": "fc", "out_features": 10},
]
"""mnist_cnn, written as layers."""


def test_flops_of_a_convolution_and_a_linear_layer_by_hand() -> None:
    conv, linear = layers_of(
        [
            {"kind": "conv2d", "out_channels": 20, "kernel_size": 5, "padding": 2},
            {"kind": "linear", "out_features": 10},
        ]
    )

    assert conv.flops(TensorSpec.of((1, 28, 28))) == 28 * 28 * 20 * 2 * 25
    assert linear.flops(TensorSpec.of((980,))) == 10 * 2 * 980


def test_mnist_cnn_is_the_network_of_the_article() -> None:
    layers = MnistCnn(kind="mnist_cnn").network(Target("classification", 10))
    network = Network(tuple(layers), TensorSpec.of((1, 28, 28)))

    assert {each.name: each.shape for each in network.parameters} == {
        "conv1.weight": (20, 1, 5, 5),
        "conv1.bias": (20,),
        "conv2.weight": (20, 20, 5, 5),
        "conv2.bias": (20,),
        "fc.weight": (10, 980),
        "fc.bias": (10,),
    }
    assert isinstance(build(network), nn.Sequential)


def test_mnist_cnn_written_as_layers_trains_bit_for_bit_like_the_built_in_one() -> None:
    runs = [
        start(model=model, optimizer={"kind": "adam", "lr": 0.01})
        for model in ({"kind": "mnist_cnn"}, {"kind": "sequential", "layers": LAYERS})
    ]

    reports = [[(step.lr, step.loss) for step in steps(run)] for run in runs]

    assert reports[0] == reports[1]
    assert digest(runs[0].tensors()) == digest(runs[1].tensors())
