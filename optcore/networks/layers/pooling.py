"""Modules of pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from optcore.spec.layers.base import TensorSpec
from optcore.spec.layers.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptivePool,
    AvgPool1d,
    AvgPool2d,
    GlobalPool,
    MaxPool1d,
    MaxPool2d,
    Pool,
)
from optcore.spec.layers.sizes import each

IMAGE_DIMS = 4
"""Number of dimensions of a batch of images."""
ADAPTIVE: dict[type[AdaptivePool], type[nn.Module]] = {
    AdaptiveAvgPool1d: nn.AdaptiveAvgPool1d,
    AdaptiveAvgPool2d: nn.AdaptiveAvgPool2d,
    AdaptiveMaxPool1d: nn.AdaptiveMaxPool1d,
    AdaptiveMaxPool2d: nn.AdaptiveMaxPool2d,
}


def pool(layer: Pool, given: TensorSpec) -> nn.Module:
    """Return torch's module for *layer*; for an average pool as in Paddle, a `PaddleMean`."""
    paddings = each(layer.padding, layer.DIMS)
    sizes = (layer.kernel, layer.strides, paddings)
    options: dict[str, Any] = {
        name: size[0] if layer.DIMS == 1 else size
        for name, size in zip(("kernel_size", "stride", "padding"), sizes, strict=True)
    }
    options["ceil_mode"] = layer.ceil_mode
    match layer:
        case MaxPool1d():
            return nn.MaxPool1d(**options, dilation=layer.dilations[0])
        case MaxPool2d():
            return nn.MaxPool2d(**options, dilation=layer.dilations)
        case AvgPool1d() | AvgPool2d():
            module = nn.AvgPool1d if layer.DIMS == 1 else nn.AvgPool2d
            found = module(**options, count_include_pad=layer.count_include_pad)
            if layer.dialect == "torch":
                return found
            outputs = layer.output(given).shape[1:]
            counts = [
                _counts(*axis, included=layer.count_include_pad)
                for axis in zip(given.shape[1:], outputs, *sizes, strict=True)
            ]
            return PaddleMean(found, counts)
    raise TypeError(f"layer must be a max-pool or an average pool, got {layer.kind}")


def _counts(
    side: int, outputs: int, kernel: int, stride: int, padding: int, *, included: bool
) -> list[int]:
    """Return the number of pixels of each window along an axis; with *included*, padding counts."""
    before, behind = (padding, side + padding) if included else (0, side)
    # With ceil_mode, the last window may reach beyond the padding: pixels there never count.
    starts = [stride * k - padding for k in range(outputs)]
    return [min(start + kernel, side + padding, behind) - max(start, -before) for start in starts]


def adaptive_pool(layer: AdaptivePool, given: TensorSpec) -> nn.Module:
    """Return torch's module for *layer*; for an average pool as in Paddle, a `PaddleMean`."""
    sizes = each(layer.output_size, layer.DIMS)
    found = ADAPTIVE[type(layer)](sizes[0] if layer.DIMS == 1 else sizes)
    if isinstance(layer, (AdaptiveAvgPool1d, AdaptiveAvgPool2d)) and layer.dialect == "paddle":
        return PaddleMean(found, adaptive_counts(given, sizes))
    return found


def adaptive_counts(given: TensorSpec, sizes: Sequence[int]) -> list[list[int]]:
    """
    Return the number of pixels of each window along each axis.

    *sizes* is the number of windows along each axis.
    """
    return [
        [-(-(k + 1) * side // size) - k * side // size for k in range(size)]
        for side, size in zip(given.shape[1:], sizes, strict=True)
    ]


class PaddleMean(nn.Module):
    """
    Compute means of n pixels, whose gradient is multiplied by 1 / n rounded to float32.

    Paddle rounds this factor even if the pixels are float64. torch does not. In float32, both use
    the same factor.

    Args:
        pool: computes the means.
        counts: the number of pixels of each window along each axis; n is the product.
    """

    def __init__(self, pool: nn.Module, counts: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.pool = pool
        n = torch.ones((), dtype=torch.float64)
        for axis in counts:
            n = n.unsqueeze(-1) * torch.tensor(axis, dtype=torch.float64)
        # Not a buffer: it is no state, and keeps its dtype.
        self._factor = (1 / n).float().double() * n - 1

    def forward(self, given: Tensor) -> Tensor:
        """Return the means of *given*."""
        means: Tensor = self.pool(given)
        if means.dtype != torch.float64 or not means.requires_grad:
            return means
        # The value stays the same; its gradient is multiplied by 1 + factor.
        return means + self._factor.to(means.device) * (means - means.detach())


class GlobalPoolModule(nn.Module):
    """
    Return one value per channel or feature.

    Args:
        dims: the dimensions that are pooled, with the batch as dimension 0.
        largest: if true, the value is the largest one; if false, the mean.
    """

    def __init__(self, dims: tuple[int, ...], *, largest: bool) -> None:
        super().__init__()
        self._dims, self._largest = dims, largest

    def forward(self, given: Tensor) -> Tensor:
        """Return *given* pooled."""
        if self._largest:
            return given.amax(self._dims)
        if given.dim() == IMAGE_DIMS and given.is_contiguous(memory_format=torch.channels_last):
            # The same means. Their gradient lies as the images do; otherwise it would be channels
            # first, which makes the backward pass of the layers before several times as slow.
            return given.permute(0, 2, 3, 1).mean((1, 2))
        return given.mean(self._dims)


def global_pool(layer: GlobalPool, given: TensorSpec) -> nn.Module:
    """Return the module for *layer*."""
    over_positions = given.axes[0] == "length"
    dims = (1,) if over_positions else tuple(range(2, 1 + len(given.shape)))
    return GlobalPoolModule(dims, largest=layer.mode == "max")
