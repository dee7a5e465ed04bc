"""Convolutions over images and signals, and their transposes."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.errors import reject, short_repr
from optcore.spec.layers.base import (
    IMAGE,
    MAX_UNITS,
    SIGNAL,
    LayerSpec,
    Parameter,
    Shape,
    ShapeError,
    TensorSpec,
    needs,
)
from optcore.spec.layers.reach import Reach
from optcore.spec.layers.sizes import NotNegative, Positive, each

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class Convolution(LayerSpec):
    """
    The base of convolutions.

    ::

        out_i = floor((in_i + 2 * padding_i - dilation_i * (kernel_size_i - 1) - 1) / stride_i) + 1

    where i is an axis of the image or signal.
    """

    DIMS: ClassVar[int]
    """Number of axes besides the channels."""
    LATER: ClassVar[frozenset[str]] = LayerSpec.LATER | {"dilation", "groups", "padding_mode"}

    out_channels: int = Field(ge=1, le=MAX_UNITS)
    kernel_size: Positive
    """Size of the kernel, in pixels."""
    stride: Positive = 1
    """Distance between two applications of the kernel, in pixels."""
    padding: NotNegative = 0
    """Pixels added at both ends of each axis."""
    dilation: Positive = 1
    """Distance between two pixels that the kernel reads."""
    groups: int = Field(1, ge=1, le=MAX_UNITS)
    """Number of groups of channels; an output channel is computed from the input channels of its
    group. As many groups as input channels make a depthwise convolution."""
    bias: bool = True
    padding_mode: PaddingMode = "zeros"
    """What is added at the ends: zeros, the image reflected, its edge repeated, or its other
    end."""

    @model_validator(mode="after")
    def _sizes_are_one_per_axis(self) -> Self:
        for name in ("kernel_size", "stride", "padding", "dilation", "output_padding"):
            size = getattr(self, name) if name in type(self).__pydantic_fields__ else 1
            if isinstance(size, list) and len(size) != self.DIMS:
                reject(
                    [name],
                    f"{name} must be a whole number, or a list of length {self.DIMS} for "
                    f"{self.kind}, got {short_repr(size)}",
                    size,
                )
        if self.out_channels % self.groups:
            reject(
                ["groups"],
                f"groups must divide out_channels, {self.out_channels}, got {self.groups}",
                self.groups,
            )
        return self

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (out_channels, ...), where the sides follow from the formula of the class."""
        self._channels(given)
        return TensorSpec((self.out_channels, *self._sides(given.shape[1:])), given.axes)

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output position depends on the positions that its kernel covers."""
        kernel, stride, padding, dilation = self.along
        start = dilation * (kernel - 1) - padding
        if padding and self.padding_mode == "circular":
            return Reach.all_of(given.positions)
        if padding and self.padding_mode != "zeros":  # what position 0 finds before the beginning
            start = max(start, padding if self.padding_mode == "reflect" else 0)
        return Reach(stride, start)

    @property
    def along(self) -> tuple[int, ...]:
        """Kernel size, stride, padding and dilation along the positions, the last axis."""
        sizes = (self.kernel_size, self.stride, self.padding, self.dilation)
        return tuple(each(size, self.DIMS)[-1] for size in sizes)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight (out, in / groups, kernel...) and bias (out,)."""
        kernel = each(self.kernel_size, self.DIMS)
        weight = (self.out_channels, self._channels(given) // self.groups, *kernel)
        bias = [Parameter("bias", (self.out_channels,))] if self.bias else []
        return [Parameter("weight", weight), *bias]

    def flops(self, given: TensorSpec) -> int:
        """Return 2 operations per weight and output pixel."""
        weight = self.parameters(given)[0]
        return 2 * weight.size * prod(self._applied(given))

    def _applied(self, given: TensorSpec) -> Shape:
        """Return how many times the kernel is applied along each axis."""
        return self.output(given).shape[1:]

    def _channels(self, given: TensorSpec) -> int:
        needs(self, given, IMAGE if len(IMAGE) - 1 == self.DIMS else SIGNAL)
        channels = given.shape[0]
        if channels % self.groups:
            raise ShapeError(
                f"groups must divide the number of channels, {channels}, got {self.groups}"
            )
        return channels

    def _sides(self, sides: Shape) -> Shape:
        found = []
        sizes = (self.kernel_size, self.stride, self.padding, self.dilation)
        for side, kernel, stride, padding, dilation in zip(
            sides, *(each(size, self.DIMS) for size in sizes), strict=True
        ):
            if self.padding_mode == "reflect" and padding >= side:
                raise ShapeError(
                    f"padding must be below {side} to reflect a side of {side} pixels, "
                    f"got {padding}"
                )
            if self.padding_mode == "circular" and padding > side:
                raise ShapeError(
                    f"padding must be at most {side} to repeat a side of {side} pixels, "
                    f"got {padding}"
                )
            # Rounded down, as torch does: pixels that do not fill a last stride are ignored.
            reach = dilation * (kernel - 1) + 1
            out = (side + 2 * padding - reach) // stride + 1
            if out < 1:
                most = (side + 2 * padding - 1) // dilation + 1
                apart = f" and dilation {dilation}" if dilation > 1 else ""
                raise ShapeError(
                    f"kernel_size must be at most {most} for a side of {side} pixels with padding "
                    f"{padding} at both ends{apart}, got {kernel}"
                )
            found.append(out)
        return tuple(found)


class Conv1d(Convolution):
    """A convolution over signals, as torch.nn.Conv1d."""

    DIMS: ClassVar[int] = 1

    kind: Literal["conv1d"]


class Conv2d(Convolution):
    """A convolution over images, as torch.nn.Conv2d."""

    DIMS: ClassVar[int] = 2

    kind: Literal["conv2d"]


class TransposedConvolution(Convolution):
    """
    The base of transposed convolutions, which upsample.

    ::

        out_i = (in_i - 1) * stride_i - 2 * padding_i + dilation_i * (kernel_size_i - 1)
                + output_padding_i + 1

    where i is an axis of the image or signal.
    """

    LATER: ClassVar[frozenset[str]] = LayerSpec.LATER

    padding_mode: Literal["zeros"] = "zeros"
    """What is added at the ends: only zeros, as in torch."""
    output_padding: NotNegative = 0
    """Pixels added at the far end of each axis of the output; less than stride or dilation."""

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output position depends on inputs whose kernels cover it."""
        _, stride, padding, _ = self.along
        return Reach(Fraction(1, stride), Fraction(padding, stride))

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight (in, out / groups, kernel...) and bias (out,)."""
        kernel = each(self.kernel_size, self.DIMS)
        weight = (self._channels(given), self.out_channels // self.groups, *kernel)
        bias = [Parameter("bias", (self.out_channels,))] if self.bias else []
        return [Parameter("weight", weight), *bias]

    def _applied(self, given: TensorSpec) -> Shape:
        return given.shape[1:]

    def _sides(self, sides: Shape) -> Shape:
        found = []
        sizes = (self.kernel_size, self.stride, self.padding, self.dilation, self.output_padding)
        for side, kernel, stride, padding, dilation, further in zip(
            sides, *(each(size, self.DIMS) for size in sizes), strict=True
        ):
            if further >= max(stride, dilation):
                raise ShapeError(
                    f"output_padding must be below the larger of stride and dilation, "
                    f"{max(stride, dilation)}, "
                    f"got {further}"
                )
            out = (side - 1) * stride - 2 * padding + dilation * (kernel - 1) + further + 1
            if out < 1:
                raise ShapeError(
                    f"padding must leave at least one pixel of a side of {side}, got {padding}"
                )
            found.append(out)
        return tuple(found)


class ConvTranspose1d(TransposedConvolution):
    """A transposed convolution over signals, as torch.nn.ConvTranspose1d."""

    DIMS: ClassVar[int] = 1

    kind: Literal["conv_transpose1d"]


class ConvTranspose2d(TransposedConvolution):
    """A transposed convolution over images, as torch.nn.ConvTranspose2d."""

    DIMS: ClassVar[int] = 2

    kind: Literal["conv_transpose2d"]
