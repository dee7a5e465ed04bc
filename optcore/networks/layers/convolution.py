"""Modules of convolutions."""

from __future__ import annotations

from torch import nn

from optcore.networks import taps
from optcore.spec.layers.base import TensorSpec
from optcore.spec.layers.convolution import (
    Conv1d,
    Conv2d,
    Convolution,
    ConvTranspose1d,
    ConvTranspose2d,
    TransposedConvolution,
)
from optcore.spec.layers.sizes import each

MODULES: dict[type[Convolution], type[nn.Module]] = {
    Conv1d: nn.Conv1d,
    Conv2d: taps.Conv2d,
    ConvTranspose1d: nn.ConvTranspose1d,
    ConvTranspose2d: nn.ConvTranspose2d,
}


def convolution(layer: Convolution, given: TensorSpec) -> nn.Module:
    """Return torch's module for *layer*; for conv2d, its subclass `taps.Conv2d`."""
    sizes = {
        name: each(getattr(layer, name), layer.DIMS)
        for name in ("kernel_size", "stride", "padding", "dilation")
    }
    if isinstance(layer, TransposedConvolution):
        sizes["output_padding"] = each(layer.output_padding, layer.DIMS)
    return MODULES[type(layer)](
        given.shape[0],
        layer.out_channels,
        **sizes,
        groups=layer.groups,
        bias=layer.bias,
        padding_mode=layer.padding_mode,
    )
