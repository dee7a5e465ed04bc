"""Modules of convolutions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


WIDE = (torch.float32, torch.float64)


class _Wide:
    """
    A convolution that is computed in float32 where a CPU would compute it in 16 bits.

    In bfloat16, oneDNN does not write the gradient of a position of the kernel that meets nothing
    but padding: there, the gradient is what was in the memory before.
    """

    def forward(self, given: Tensor) -> Tensor:
        """Return the convolution of *given*."""
        assert isinstance(self, nn.modules.conv._ConvNd)
        device = given.device.type
        cast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if cast else given.dtype
        if given.is_cuda or dtype in WIDE:
            return super().forward(given)  # type: ignore[misc, no-any-return]  # torch's
        sizes: dict[str, Any] = {
            name: getattr(self, name) for name in ("stride", "padding", "dilation", "groups")
        }
        if self.transposed:
            sizes["output_padding"] = self.output_padding
        function = getattr(F, f"conv{'_transpose' * self.transposed}{given.dim() - 2}d")
        bias = None if self.bias is None else self.bias.float()
        with torch.autocast(device, enabled=False):
            output: Tensor = function(given.float(), self.weight.float(), bias, **sizes)
        return output.to(dtype)


class _WideConv1d(_Wide, nn.Conv1d): ...


class _WideConv2d(_Wide, taps.Conv2d): ...


class _WideConvTranspose1d(_Wide, nn.ConvTranspose1d): ...  # type: ignore[misc]  # no output_size


class _WideConvTranspose2d(_Wide, nn.ConvTranspose2d): ...  # type: ignore[misc]  # no output_size


WIDE_MODULES: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: _WideConv1d,
    taps.Conv2d: _WideConv2d,
    nn.ConvTranspose1d: _WideConvTranspose1d,
    nn.ConvTranspose2d: _WideConvTranspose2d,
}


def convolution(layer: Convolution, given: TensorSpec) -> nn.Module:
    """Return torch's module for *layer*, or a subclass that computes the same."""
    sizes = {
        name: each(getattr(layer, name), layer.DIMS)
        for name in ("kernel_size", "stride", "padding", "dilation")
    }
    if isinstance(layer, TransposedConvolution):
        sizes["output_padding"] = each(layer.output_padding, layer.DIMS)
    module = MODULES[type(layer)]
    if _meets_only_padding(layer, given):
        module = WIDE_MODULES[module]
    return module(
        given.shape[0],
        layer.out_channels,
        **sizes,
        groups=layer.groups,
        bias=layer.bias,
        padding_mode=layer.padding_mode,
    )


def _meets_only_padding(layer: Convolution, given: TensorSpec) -> bool:
    """Return whether a position of the kernel meets nothing but padding, wherever the kernel is."""
    if layer.padding_mode != "zeros":
        return False  # the input is padded first, and is then convolved without padding
    large, small = given.shape[1:], layer.output(given).shape[1:]
    if isinstance(layer, TransposedConvolution):
        large, small = small, large
    kernel, stride, padding, dilation = (
        each(getattr(layer, name), layer.DIMS)
        for name in ("kernel_size", "stride", "padding", "dilation")
    )
    return any(
        all(not 0 <= i * step + at * apart - before < size for i in range(places))
        for size, places, positions, step, before, apart in zip(
            large, small, kernel, stride, padding, dilation, strict=True
        )
        for at in range(positions)
    )
