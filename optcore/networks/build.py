"""Build a torch network from a list of layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from optcore.networks.draws import Draws
from optcore.networks.layout import memory_format
from optcore.networks.modules import module
from optcore.spec.networks.base import Shape
from optcore.spec.networks.layers import AnyLayer
from optcore.spec.networks.order import OWN_OUTPUT, pooled_first
from optcore.spec.networks.summary import named


def network(
    layers: Sequence[AnyLayer],
    shape: Shape,
    draws: Draws,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> nn.Sequential:
    """
    Return the network of *layers* (see `build`) on *device*, with parameters in *dtype*.

    Images have the memory format that `memory_format` returns for *device* and *dtype*.
    """
    # Drawn on the CPU in float32, then moved: a seed gives the same weights on every device and in
    # every memory format, and in every precision except for rounding.
    model = build(layers, shape, draws).to(device, dtype)
    model.to(memory_format=memory_format(device, dtype))  # type: ignore[call-overload]  # torch's stub lacks it
    return model


def check_fit(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """
    Check that *weights* fit a network whose weights are *own*.

    Raises:
        ValueError: the names or the shapes of *weights* differ from those of *own*.
    """
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
    named ``{layer}.{weight | bias}``.

    A max-pool that follows a relu is moved before the relu, so that the relu computes fewer
    elements: a quarter of them for windows of 2 x 2. Outputs and gradients stay the same bit for
    bit.

    Args:
        layers: the layers from first to last; each must accept the output of the layer before it.
        shape: shape of one example, without the batch.
        draws: the source of random numbers for the layers; None for torch's global generators.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    before: AnyLayer | None = None
    for name, layer in pooled_first(named(layers)):
        inplace = isinstance(before, OWN_OUTPUT)
        modules[name] = module(layer, shape, inplace=inplace, draws=draws, name=name)
        shape, before = layer.output_shape(shape), layer
    return nn.Sequential(modules)
