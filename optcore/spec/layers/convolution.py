"""Layers over images: convolution and pooling."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from optcore.spec.layers.base import (
    MAX_UNITS,
    LayerSpec,
    Parameter,
    Shape,
    ShapeError,
    image_shape,
)


class Conv2d(LayerSpec):
    """A convolution over images."""

    kind: Literal["conv2d"]
    out_channels: int = Field(ge=1, le=MAX_UNITS)
    kernel_size: int = Field(ge=1, le=64)
    """Side of the square kernel, in pixels."""
    stride: int = Field(1, ge=1, le=64)
    padding: int = Field(0, ge=0, le=64)
    """Zeros added on each side, in pixels."""
    bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        """Return (out_channels, height, width)."""
        _, height, width = image_shape(self.kind, shape)
        return (self.out_channels, self._side(height), self._side(width))

    def parameters(self, shape: Shape) -> list[Parameter]:
        """Return weight (out, in, k, k) and bias (out,)."""
        k = self.kernel_size
        weight = Parameter("weight", (self.out_channels, image_shape(self.kind, shape)[0], k, k))
        return [weight, Parameter("bias", (self.out_channels,))] if self.bias else [weight]

    def flops(self, shape: Shape) -> int:
        """Return 2 operations per weight and output pixel, and 1 per bias and output pixel."""
        _, height, width = self.output_shape(shape)
        return (
            height
            * width
            * sum((2 if p.name == "weight" else 1) * p.size for p in self.parameters(shape))
        )

    def _side(self, side: int) -> int:
        # Rounded down, as torch does: pixels that do not fill a last stride are ignored.
        out = (side + 2 * self.padding - self.kernel_size) // self.stride + 1
        if out < 1:
            raise ShapeError(
                f"kernel_size must be at most {side + 2 * self.padding} for a side of {side} "
                f"pixels with padding {self.padding} at both ends, got {self.kernel_size}"
            )
        return out


class MaxPool2d(LayerSpec):
    """Keep the largest value of each square window; windows do not overlap."""

    kind: Literal["max_pool2d"]
    kernel_size: int = Field(ge=1, le=64)
    """Side of the window, in pixels; also the stride."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return (channels, height / kernel_size, width / kernel_size), rounded down."""
        channels, height, width = image_shape(self.kind, shape)
        if min(height, width) < self.kernel_size:
            raise ShapeError(
                f"kernel_size must be at most {min(height, width)} for {height}x{width} pixels, "
                f"got {self.kernel_size}"
            )
        return (channels, height // self.kernel_size, width // self.kernel_size)
