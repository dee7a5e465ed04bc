"""From layer specs to torch modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from optcore.spec.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    LayerSpec,
    Linear,
    MaxPool2d,
    Relu,
    Shape,
)
from optcore.spec.models import named

IMAGE_DIMS = 3


def build(layers: Sequence[LayerSpec], shape: Shape) -> nn.Sequential:
    """
    Return the network of *layers* for examples of *shape*, with torch's initial weights.

    The weights come from torch's global generator: seed it first. Parameters are named
    ``{layer}.{weight | bias}``.

    Args:
        layers: first to last, each fitting the one before.
        shape: of one example, without the batch.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in named(layers):
        modules[name] = _module(layer, shape)
        shape = layer.output_shape(shape)
    return nn.Sequential(modules)


def _module(layer: LayerSpec, shape: Shape) -> nn.Module:
    match layer:
        case Conv2d():
            return nn.Conv2d(
                shape[0],
                layer.out_channels,
                layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                bias=layer.bias,
            )
        case MaxPool2d():
            return nn.MaxPool2d(layer.kernel_size)
        case Linear():
            return nn.Linear(shape[0], layer.out_features, bias=layer.bias)
        case Flatten():
            return nn.Flatten()
        case Relu():
            return nn.ReLU()
        case Dropout():
            return nn.Dropout(layer.p)
        case BatchNorm():
            kind = nn.BatchNorm2d if len(shape) == IMAGE_DIMS else nn.BatchNorm1d
            return kind(shape[0], eps=layer.eps, momentum=layer.momentum)
        case _:
            raise AssertionError(layer)
