"""Build a torch network from a list of layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from optcore.networks.modules import module
from optcore.spec.networks.base import Shape
from optcore.spec.networks.layers import AnyLayer
from optcore.spec.networks.order import OWN_OUTPUT, pooled_first
from optcore.spec.networks.summary import named


def build(layers: Sequence[AnyLayer], shape: Shape) -> nn.Sequential:
    """
    Return the network of *layers* for examples of *shape*, with torch's initial weights.

    The weights are drawn from torch's global generator, which the caller must seed. Parameters are
    named ``{layer}.{weight | bias}``. A max-pool that follows a relu is moved before the relu,
    which then computes fewer elements (a quarter with 2 x 2 windows). Outputs and gradients stay
    the same bit for bit.

    Args:
        layers: the layers from first to last; each must accept the output of the layer before it.
        shape: shape of one example, without the batch.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    before: AnyLayer | None = None
    for name, layer in pooled_first(named(layers)):
        modules[name] = module(layer, shape, inplace=isinstance(before, OWN_OUTPUT))
        shape, before = layer.output_shape(shape), layer
    return nn.Sequential(modules)
