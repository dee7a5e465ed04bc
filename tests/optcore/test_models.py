"""Layer specs and the torch modules built from them, held against each other."""

import copy
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from optcore.networks.build import build
from optcore.networks.layout import memory_format
from optcore.spec.layers.base import Shape, ShapeError, TensorSpec
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.models.mnist_cnn import MnistCnn
from optcore.spec.networks.network import Network
from optcore.spec.tasks.tasks import Target

CASES: list[tuple[list[dict[str, Any]], Shape]] = [
    ([{"kind": "conv2d", "out_channels": 5, "kernel_size": 3}], (2, 9, 7)),
    (
        [{"kind": "conv2d", "out_channels": 5, "kernel_size": 3, "padding": 1, "stride": 2}],
        (2, 9, 8),
    ),
    ([{"kind": "conv2d", "out_channels": 4, "kernel_size": 1, "bias": False}], (3, 4, 4)),
    ([{"kind": "max_pool2d", "kernel_size": 2}], (2, 9, 7)),
    ([{"kind": "flatten"}, {"kind": "linear", "out_features": 6}], (2, 3, 4)),
    ([{"kind": "linear", "out_features": 6, "bias": False}], (5,)),
    ([{"kind": "relu"}, {"kind": "dropout"}], (5,)),
    ([{"kind": "log_softmax"}], (5,)),
    ([{"kind": "batch_norm"}], (5,)),
    ([{"kind": "batch_norm"}], (3, 4, 4)),
]


def layers_of(specs: list[dict[str, Any]]) -> list[AnyLayer]:
    parser: TypeAdapter[AnyLayer] = TypeAdapter(AnyLayer)
    return [parser.validate_python(spec) for spec in specs]


def network_of(layers: list[AnyLayer], shape: Shape) -> Network:
    return Network(tuple(layers), TensorSpec.of(shape))


def parameter_shapes(layers: list[AnyLayer], shape: Shape) -> dict[str, Shape]:
    return {each.name: each.shape for each in network_of(layers, shape).parameters}


@pytest.mark.parametrize(("specs", "shape"), CASES, ids=str)
def test_a_layer_knows_the_shapes_and_parameters_that_torch_gives_it(
    specs: list[dict[str, Any]], shape: Shape
) -> None:
    layers = layers_of(specs)
    with torch.device("meta"):
        module = build(network_of(layers, shape))
        output = module(torch.empty(2, *shape))

    rows = network_of(layers, shape).summary

    assert rows[-1].output_shape == tuple(output.shape[1:])
    assert parameter_shapes(layers, shape) == {
        name: tuple(param.shape) for name, param in module.named_parameters()
    }
    assert sum(row.num_parameters for row in rows) == sum(p.numel() for p in module.parameters())


def test_every_kind_of_layer_is_among_the_cases() -> None:
    known = {choice.__name__ for choice in AnyLayer.__args__[0].__args__}

    assert known == {type(layer).__name__ for specs, _ in CASES for layer in layers_of(specs)}


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

    assert parameter_shapes(layers, (1, 28, 28)) == {
        "conv1.weight": (20, 1, 5, 5),
        "conv1.bias": (20,),
        "conv2.weight": (20, 20, 5, 5),
        "conv2.bias": (20,),
        "fc.weight": (10, 980),
        "fc.bias": (10,),
    }
    assert isinstance(build(network_of(layers, (1, 28, 28))), nn.Sequential)


@pytest.mark.parametrize(
    ("spec", "shape", "message"),
    [
        (
            {"kind": "linear", "out_features": 3},
            (1, 2, 2),
            r"linear needs \(features\) or \(length, features\), got "
            r"\(channels 1, height 2, width 2\); insert a flatten layer before it",
        ),
        (
            {"kind": "max_pool2d", "kernel_size": 3},
            (1, 2, 2),
            "kernel_size must be at most 2 for 2x2 pixels, got 3",
        ),
        (
            {"kind": "conv2d", "out_channels": 1, "kernel_size": 5},
            (1, 4, 4),
            "kernel_size must be at most 4 for a side of 4 pixels with padding 0 at both ends, "
            "got 5",
        ),
        (
            {"kind": "conv2d", "out_channels": 1, "kernel_size": 1},
            (4,),
            r"conv2d needs \(channels, height, width\), got \(features 4\)",
        ),
    ],
)
def test_a_shape_that_does_not_fit_names_the_layer(
    spec: dict[str, Any], shape: Shape, message: str
) -> None:
    with pytest.raises(ShapeError, match=f"layer 0: .*{message}"):
        _ = network_of(layers_of([spec]), shape).summary


IMAGES: list[dict[str, Any]] = [
    {"kind": "conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1, "name": "conv"},
    {"kind": "relu", "name": "relu"},
    {"kind": "max_pool2d", "kernel_size": 2, "name": "pool"},
    {"kind": "batch_norm", "name": "norm"},
    {"kind": "relu", "name": "relu2"},
    {"kind": "flatten", "name": "flatten"},
    {"kind": "linear", "out_features": 3, "name": "fc"},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pooling_before_the_relu_gives_the_same_bits(dtype: torch.dtype) -> None:
    """Forwards and backwards, with equal pixels and windows in which nothing is above 0."""
    torch.manual_seed(0)
    fast = build(network_of(layers_of(IMAGES), (1, 8, 8))).to(dtype)
    parts = dict(fast.named_children())
    plain = nn.Sequential(
        copy.deepcopy(parts["conv"]),
        nn.ReLU(),
        nn.MaxPool2d(2),
        copy.deepcopy(parts["norm"]),
        nn.ReLU(),
        nn.Flatten(),
        copy.deepcopy(parts["fc"]),
    )
    images = torch.randint(-1, 2, (16, 1, 8, 8)).to(dtype)

    results = [net(images) for net in (fast, plain)]
    for result in results:
        result.square().sum().backward()

    assert list(parts)[:3] == ["conv", "pool", "relu"]
    assert torch.equal(*results)
    for ours, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("first", [[], ["flatten"], ["relu"], ["dropout"], ["flatten", "relu"]])
def test_a_relu_overwrites_neither_the_examples_nor_what_backward_needs(first: list[str]) -> None:
    layers: list[dict[str, Any]] = [
        *({"kind": kind} for kind in first),
        {"kind": "relu"},
        {"kind": "relu"},
        *([] if "flatten" in first else [{"kind": "flatten"}]),
        {"kind": "linear", "out_features": 3},
        {"kind": "relu"},
        {"kind": "relu"},
    ]
    net = build(network_of(layers_of(layers), (1, 4, 4)))
    images = torch.linspace(-1, 1, 32).reshape(2, 1, 4, 4)
    before = images.clone()

    net(images).sum().backward()

    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("device", "dtype", "format"),
    [
        ("cpu", torch.float32, torch.channels_last),
        ("cpu", torch.float64, torch.contiguous_format),
        ("cuda", torch.float32, torch.contiguous_format),
    ],
)
def test_channels_are_last_where_it_was_measured(
    device: str, dtype: torch.dtype, format: torch.memory_format
) -> None:
    assert memory_format(torch.device(device), dtype) == format
