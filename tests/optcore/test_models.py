"""Layer specs and the torch modules built from them, held against each other."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from optcore.models.build import build
from optcore.spec.layers import AnyLayer, LayerSpec, Shape, ShapeError
from optcore.spec.models import MnistCnn, parameter_shapes, summarize

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
    ([{"kind": "batch_norm"}], (5,)),
    ([{"kind": "batch_norm"}], (3, 4, 4)),
]


def layers_of(specs: list[dict[str, Any]]) -> list[LayerSpec]:
    parser: TypeAdapter[LayerSpec] = TypeAdapter(AnyLayer)
    return [parser.validate_python(spec) for spec in specs]


@pytest.mark.parametrize(("specs", "shape"), CASES, ids=str)
def test_a_layer_knows_the_shapes_and_parameters_that_torch_gives_it(
    specs: list[dict[str, Any]], shape: Shape
) -> None:
    layers = layers_of(specs)
    with torch.device("meta"):
        module = build(layers, shape)
        output = module(torch.empty(2, *shape))

    rows = summarize(layers, shape)

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

    assert conv.flops((1, 28, 28)) == 28 * 28 * 20 * (2 * 25 + 1)
    assert linear.flops((980,)) == 10 * (2 * 980 + 1)


def test_mnist_cnn_is_the_network_of_the_article() -> None:
    layers = MnistCnn(kind="mnist_cnn").network(10)

    assert parameter_shapes(layers, (1, 28, 28)) == {
        "conv1.weight": (20, 1, 5, 5),
        "conv1.bias": (20,),
        "conv2.weight": (20, 20, 5, 5),
        "conv2.bias": (20,),
        "fc.weight": (10, 980),
        "fc.bias": (10,),
    }
    assert isinstance(build(layers, (1, 28, 28)), nn.Sequential)


@pytest.mark.parametrize(
    ("spec", "shape", "message"),
    [
        ({"kind": "linear", "out_features": 3}, (1, 2, 2), "linear needs a flat input, got shape"),
        (
            {"kind": "max_pool2d", "kernel_size": 3},
            (1, 2, 2),
            "window of 3 does not fit 2x2 pixels",
        ),
        (
            {"kind": "conv2d", "out_channels": 1, "kernel_size": 5},
            (1, 4, 4),
            "a kernel of 5 does not fit 4 pixels with padding 0",
        ),
        ({"kind": "conv2d", "out_channels": 1, "kernel_size": 1}, (4,), "conv2d needs an image"),
    ],
)
def test_a_shape_that_does_not_fit_names_the_layer(
    spec: dict[str, Any], shape: Shape, message: str
) -> None:
    with pytest.raises(ShapeError, match=f"layer 0: .*{message}"):
        summarize(layers_of([spec]), shape)
