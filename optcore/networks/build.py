"""Build a torch network from a list of layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from optcore.networks.draws import Draws
from optcore.networks.layout import memory_format
from optcore.networks.modules import module
from optcore.spec.networks.activations import Relu
from optcore.spec.networks.base import Shape
from optcore.spec.networks.convolution import Conv2d, MaxPool2d
from optcore.spec.networks.dense import Linear
from optcore.spec.networks.layers import AnyLayer
from optcore.spec.networks.regularization import BatchNorm
from optcore.spec.networks.summary import named

# Not Flatten and Dropout, which may return their input itself, and so the dataset's memory; nor
# Relu and LogSoftmax, whose backward passes read their output.
OWN_OUTPUT = (Conv2d, Linear, BatchNorm, MaxPool2d)
"""Layers whose output is read only by the next layer, not by their own backward pass. A relu after
such a layer may overwrite the output."""


def network(
    layers: Sequence[AnyLayer],
    shape: Shape,
    draws: Draws,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> nn.Sequential:
    """Return the network of *layers*, as `build` does, on *device* in its memory format."""
    # Drawn on the CPU in float32, then moved: a seed gives the same weights on every device and in
    # every memory format, and in every precision except for rounding.
    model = build(layers, shape, draws).to(device, dtype)
    model.to(memory_format=memory_format(device, dtype))  # type: ignore[call-overload]  # torch's stub lacks it
    return model


def check_fit(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless *weights* have the names and shapes of *own*, the network's own."""
    for name in sorted(weights.keys() | own.keys()):
        if name not in own:
            raise ValueError(f"weights must be those of the network, which has no {name}")
        if name not in weights:
            raise ValueError(f"weights must be those of the network, got none for {name}")
        wanted, given = tuple(own[name].shape), tuple(weights[name].shape)
        if given != wanted:
            raise ValueError(f"{name} must have shape {wanted}, got {given}")


def build(layers: Sequence[AnyLayer], shape: Shape, draws: Draws | None = None) -> nn.Sequential:
    """
    Return the network of *layers* for examples of *shape*, with torch's initial weights.

    The weights are drawn from torch's global generator, which the caller must seed. Parameters are
    named ``{layer}.{weight | bias}``. A max-pool that follows a relu is moved before the relu,
    which then computes fewer elements (a quarter with 2 x 2 windows). Outputs and gradients stay
    the same bit for bit.

    Args:
        layers: the layers from first to last; each must accept the output of the layer before it.
        shape: shape of one example, without the batch.
        draws: what the layers draw from in training; None for torch's global generators.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    before: AnyLayer | None = None
    for name, layer in _pooled_first(named(layers)):
        inplace = isinstance(before, OWN_OUTPUT)
        modules[name] = module(layer, shape, inplace=inplace, draws=draws, name=name)
        shape, before = layer.output_shape(shape), layer
    return nn.Sequential(modules)


def _pooled_first(layers: list[tuple[str, AnyLayer]]) -> list[tuple[str, AnyLayer]]:
    """Return *layers*, with each max-pool that follows a relu moved before that relu."""
    # The bits are the same: the largest of the values above 0 is the largest of all, the first of
    # equal values stays the first, and where no value is above 0 no gradient flows either way.
    # Neither draws random numbers, so initial weights are the same too.
    ordered = list(layers)
    for i in range(1, len(ordered)):
        if isinstance(ordered[i][1], MaxPool2d) and isinstance(ordered[i - 1][1], Relu):
            ordered[i - 1], ordered[i] = ordered[i], ordered[i - 1]
    return ordered
