"""
Convolutions of many channels over few pixels, as sums of matrix products.

oneDNN's convolutions first write the gradient of a large kernel in another order, and they multiply
the padding, too. For images of a few pixels, this costs several times as much as the convolution.

An example: 32 images of 1 x 1 pixels are convolved with 512 x 512 kernels of 3 x 3, forward and
backward. This takes 13 ms of one core with oneDNN, and 1.7 ms as matrix products
(docs/decisions/0024-few-pixels-are-matrix-products.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

WEIGHTS_PER_VALUE = 2
"""Number of weights per value of input and output from which products are faster (see the module).
Measured with 64 to 512 channels, 1 x 1 to 8 x 8 pixels and 32 to 100 images."""
TAPS = "taps"
"""The fact ``convolutions`` of a run whose network may compute by `convolve`."""


class Geometry(NamedTuple):
    """
    Sizes of a convolution; each is (height, width).

    Attributes:
        given: size of the input.
        kernel, stride, padding, dilation: as in torch.
    """

    given: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def output(self) -> tuple[int, int]:
        """Size of the output."""
        height, width = (
            (given + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for given, kernel, stride, padding, dilation in zip(*self, strict=True)
        )
        return height, width


class Tap(NamedTuple):
    """
    A position in the kernel, and the pixels of input and output that it connects.

    Attributes:
        at: the position.
        read: the pixels of the input.
        written: the pixels of the output.
    """

    at: tuple[int, int]
    read: tuple[slice, slice]
    written: tuple[slice, slice]


class Conv2d(nn.Conv2d):
    """
    torch's convolution, which may compute by `convolve` instead.

    Attributes:
        by_taps: whether `convolve` is used for the shapes for which it is faster.
    """

    by_taps = False
    _seen: torch.Size | None = None
    _is_faster = False

    def takes_taps(self, given: Tensor) -> bool:
        """Return whether the convolution of *given* is computed as `convolve` does."""
        if not self.by_taps:
            return False
        if given.shape != self._seen:  # most batches have one shape, and to choose takes 5 us
            self._seen = given.shape
            self._is_faster = is_faster(given.shape, self.weight.shape, self._geometry(given))
        # `WEIGHTS_PER_VALUE` was measured in float32; autocast convolves in 16 bits.
        return self._is_faster and not torch.is_autocast_enabled(given.device.type)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.takes_taps(input):
            found = convolve(input, weight, self._geometry(input))
            return found if bias is None else found + bias.view(-1, 1, 1)
        output: Tensor = super()._conv_forward(input, weight, bias)
        return output

    @property
    def can_use_taps(self) -> bool:
        """Whether `convolve` can compute this convolution."""
        return self.groups == 1 and self.padding_mode == "zeros"

    def _geometry(self, given: Tensor) -> Geometry:
        pairs = (given.shape[2:], self.kernel_size, self.stride, self.padding, self.dilation)
        return Geometry(*cast("Any", map(tuple, pairs)))


def use_taps(model: nn.Module, on: bool) -> None:
    """Choose whether the convolutions of *model* may compute by `convolve`."""
    for each in model.modules():
        if isinstance(each, Conv2d):
            each.by_taps = on and each.can_use_taps


def uses_taps(model: nn.Module) -> bool:
    """Return whether a convolution of *model* may compute by `convolve`."""
    return any(isinstance(each, Conv2d) and each.by_taps for each in model.modules())


def is_faster(given: torch.Size, weight: torch.Size, geometry: Geometry) -> bool:
    """
    Return whether `convolve` is faster than torch's convolution.

    Args:
        given: shape of the input, (batch, channels, height, width).
        weight: shape of the weight, (output channels, channels, height, width).
        geometry: sizes of the convolution.
    """
    height, width = geometry.output
    values = given.numel() + given[0] * weight[0] * height * width
    return weight.numel() >= WEIGHTS_PER_VALUE * values


def convolve(given: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """
    Return the convolution of *given* with *weight*, without a bias.

    The output is a sum over the positions (a, b) in the kernel. Each position adds a product to
    each pixel (y, x) of the output, unless the pixel (v, u) of *given* lies in the padding::

        output[i, :, y, x] += weight[:, :, a, b] @ given[i, :, v, u]        for each image i
        v = y * stride + a * dilation - padding
        u = x * stride + b * dilation - padding

    Args:
        given: (batch, channels, height, width).
        weight: (output channels, channels, height, width), best in channels_last.
        geometry: sizes of the convolution.
    """
    found: Tensor = _Convolution.apply(given, weight, geometry)  # type: ignore[no-untyped-call]
    # Here, not in the function: a view that a function returns may not be overwritten by a relu or
    # by the sum of a residual block.
    return found.permute(0, 3, 1, 2)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, given: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:  # noqa: ANN401  torch's context has no type
        ctx.save_for_backward(given, weight)
        ctx.geometry = geometry
        pixels, kernel = given.permute(0, 2, 3, 1), weight.permute(2, 3, 1, 0)
        channels, outputs = kernel.shape[2:]
        # A sum over positions, not a product with a matrix of patches: that matrix would contain
        # the padding, and each value as often as the kernel has positions (docs/decisions/0024).
        found = given.new_zeros(len(given), *geometry.output, outputs)
        for at, read, written in taps(geometry):
            part = pixels[:, *read]
            product = part.reshape(-1, channels) @ kernel[at]
            found[:, *written] += product.view(*part.shape[:3], outputs)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_pixel: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # noqa: ANN401  torch's context has no type
        given, weight = ctx.saved_tensors
        needs_given, needs_weight, _ = ctx.needs_input_grad
        # As the parameter lies in memory, so that the gradient is not copied into that order.
        of_weight = torch.zeros_like(weight) if needs_weight else None
        pixels, kernel = given.permute(0, 2, 3, 1), weight.permute(2, 3, 0, 1)
        of_pixels = by_pixel.new_zeros(pixels.shape) if needs_given else None
        outputs, channels = kernel.shape[2:]
        for at, read, written in taps(ctx.geometry):
            part, rows = pixels[:, *read], by_pixel[:, *written].reshape(-1, outputs)
            if of_weight is not None:
                # Each position has a slice of the weight to itself, so nothing has to be added up.
                torch.mm(
                    rows.t(), part.reshape(-1, channels), out=of_weight.permute(2, 3, 0, 1)[at]
                )
            if of_pixels is not None:
                of_pixels[:, *read] += (rows @ kernel[at]).view(part.shape)
        return (
            None if of_pixels is None else of_pixels.permute(0, 3, 1, 2),
            of_weight,
            None,
        )


# A network asks for the same few geometries in every step.
@lru_cache(maxsize=256)
def taps(geometry: Geometry) -> tuple[Tap, ...]:
    """Return the positions in the kernel that connect at least one pixel of input and output."""
    rows, columns = (tuple(_along(i, geometry)) for i in range(2))
    return tuple(Tap((a, b), (y, x), (v, u)) for (a, y, v), (b, x, u) in product(rows, columns))


def _along(axis: int, geometry: Geometry) -> Iterator[tuple[int, slice, slice]]:
    """Yield (position, pixels of the input, pixels of the output) along an axis."""
    given, kernel, stride, padding, dilation = (each[axis] for each in geometry)
    for at in range(kernel):
        # Output y reads input y * stride + offset, which must be from 0 to given - 1.
        offset = at * dilation - padding
        first = max(0, -(offset // stride))
        last = min(geometry.output[axis] - 1, (given - 1 - offset) // stride)
        if first <= last:
            begin, end = first * stride + offset, last * stride + offset
            yield at, slice(begin, end + 1, stride), slice(first, last + 1)
