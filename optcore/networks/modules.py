"""Build the torch module of a layer from its spec."""

from __future__ import annotations

from typing import assert_never

from torch import nn

from optcore.networks.draws import Draws
from optcore.networks.dropout import Dropout as DropoutModule
from optcore.spec.networks.activations import LogSoftmax, Relu
from optcore.spec.networks.base import IMAGE_DIMS, Shape
from optcore.spec.networks.convolution import Conv2d, MaxPool2d
from optcore.spec.networks.dense import Flatten, Linear
from optcore.spec.networks.layers import AnyLayer
from optcore.spec.networks.regularization import BatchNorm, Dropout


def module(
    layer: AnyLayer,
    shape: Shape,
    *,
    inplace: bool = False,
    draws: Draws | None = None,
    name: str = "",
) -> nn.Module:
    """
    Return the torch module for *layer*, with torch's initial weights.

    Args:
        layer: spec of the layer.
        shape: shape of one example in the input of the layer.
        inplace: whether an activation may overwrite its input.
        draws: the source of random numbers for the layer; None for torch's global generators.
        name: the name of the layer in its network.
    """
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
            return nn.ReLU(inplace=inplace)
        case Dropout():
            return DropoutModule(layer.p, draws, name)
        case BatchNorm():
            norm = nn.BatchNorm2d if len(shape) == IMAGE_DIMS else nn.BatchNorm1d
            return norm(shape[0], eps=layer.eps, momentum=layer.momentum)
        case LogSoftmax():
            return nn.LogSoftmax(dim=1)  # dimension 0 is the batch
        case _:
            assert_never(layer)
