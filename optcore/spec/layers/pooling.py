"""Pooling: the largest or the mean value of each window of an image or signal."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import per_dialect
from optcore.spec.errors import reject, short_repr
from optcore.spec.layers.base import (
    IMAGE,
    SIGNAL,
    LayerDialect,
    LayerSpec,
    Shape,
    ShapeError,
    TensorSpec,
    needs,
)
from optcore.spec.layers.reach import Reach
from optcore.spec.layers.sizes import NotNegative, Positive, each


class Pool(LayerSpec):
    """
    The base of pools with windows of one size.

    ::

        window_i = dilation_i * (kernel_size_i - 1) + 1
        out_i    = floor((in_i + 2 * padding_i - window_i) / stride_i) + 1

    where i is an axis of the image or signal. Average pools have a dilation of 1. With ceil_mode,
    the quotient is rounded up. There is no window that begins in the padding after the image.
    """

    DIMS: ClassVar[int]
    """Number of axes besides the channels."""
    LATER: ClassVar[frozenset[str]] = LayerSpec.LATER | {"stride", "padding", "ceil_mode"}

    kernel_size: Positive
    """Size of the window, in pixels."""
    stride: Positive | None = None
    """Distance between two windows, in pixels; null for kernel_size, so that windows do not
    overlap."""
    padding: NotNegative = 0
    """Pixels added at both ends of each axis: at most half of kernel_size. A maximum ignores them;
    a mean counts them as zeros."""
    ceil_mode: bool = False
    """Whether there is also a last window that only part of the image fills."""

    @model_validator(mode="after")
    def _sizes_are_one_per_axis(self) -> Self:
        for name in ("kernel_size", "stride", "padding", "dilation"):
            size = getattr(self, name, 1)
            if isinstance(size, list) and len(size) != self.DIMS:
                reject(
                    [name],
                    f"{name} must be a whole number, or a list of length {self.DIMS} for "
                    f"{self.kind}, got {short_repr(size)}",
                    size,
                )
        for kernel, padding in zip(self.kernel, each(self.padding, self.DIMS), strict=True):
            if padding > kernel // 2:
                reject(
                    ["padding"],
                    f"padding must be at most half of kernel_size, {kernel // 2}, got {padding}",
                    self.padding,
                )
        return self

    @property
    def kernel(self) -> tuple[int, ...]:
        """Size of the window along each axis."""
        return each(self.kernel_size, self.DIMS)

    @property
    def dilations(self) -> tuple[int, ...]:
        """Distance between two pixels of a window along each axis."""
        return (1,) * self.DIMS

    @property
    def windows(self) -> tuple[int, ...]:
        """Size of the window along each axis, with the pixels that dilation leaves out."""
        pairs = zip(self.kernel, self.dilations, strict=True)
        return tuple(dilation * (kernel - 1) + 1 for kernel, dilation in pairs)

    @property
    def strides(self) -> tuple[int, ...]:
        """Distance between two windows along each axis."""
        return self.kernel if self.stride is None else each(self.stride, self.DIMS)

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (channels, ...), where the sides follow from the formula of the class."""
        needs(self, given, IMAGE if len(IMAGE) - 1 == self.DIMS else SIGNAL)
        return TensorSpec((given.shape[0], *self._sides(given.shape[1:])), given.axes)

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output position depends on the input positions in its window."""
        return Reach(self.strides[-1], self.windows[-1] - 1 - each(self.padding, self.DIMS)[-1])

    def _sides(self, sides: Shape) -> Shape:
        found = []
        paddings = each(self.padding, self.DIMS)
        for side, window, dilation, stride, padding in zip(
            sides, self.windows, self.dilations, self.strides, paddings, strict=True
        ):
            if padding and dilation > side:  # else a window might lie in the padding alone
                raise ShapeError(
                    f"dilation must be at most {side} for a side of {side} pixels with padding, "
                    f"got {dilation}"
                )
            left = side + 2 * padding - window
            out = -(-left // stride) + 1 if self.ceil_mode else left // stride + 1
            if self.ceil_mode and (out - 1) * stride >= side + padding:
                out -= 1
            if out < 1:
                by = "x".join(map(str, sides))
                most = side + 2 * padding + (stride - 1 if self.ceil_mode else 0)
                pads = f" with padding {padding} at both ends" if padding else ""
                pads += f"{' and' if pads else ' with'} dilation {dilation}" if dilation > 1 else ""
                kernel = (window - 1) // dilation + 1
                raise ShapeError(
                    f"kernel_size must be at most {(most - 1) // dilation + 1} for {by} pixels"
                    f"{pads}, got {kernel}"
                )
            found.append(out)
        return tuple(found)


class MaxPool(Pool):
    """The base of pools that keep the largest value of each window."""

    LATER: ClassVar[frozenset[str]] = Pool.LATER | {"dilation"}

    dilation: Positive = 1
    """Distance between two pixels of a window."""

    @property
    def dilations(self) -> tuple[int, ...]:
        """Distance between two pixels of a window along each axis."""
        return each(self.dilation, self.DIMS)


class MaxPool1d(MaxPool):
    """Keep the largest value of each window of a signal, as torch.nn.MaxPool1d."""

    DIMS: ClassVar[int] = 1

    kind: Literal["max_pool1d"]


class MaxPool2d(MaxPool):
    """Keep the largest value of each window of an image, as torch.nn.MaxPool2d."""

    DIMS: ClassVar[int] = 2

    kind: Literal["max_pool2d"]


class AvgPool1d(Pool):
    """Return the mean of each window of a signal, as torch.nn.AvgPool1d."""

    DIMS: ClassVar[int] = 1

    kind: Literal["avg_pool1d"]
    dialect: LayerDialect = "torch"
    """In dialect paddle, the gradient is multiplied by 1 / n as a float32 number, where n is the
    number of pixels in the window."""
    count_include_pad: bool = per_dialect({"torch": True, "paddle": False})
    """Whether the mean counts the pixels that padding has added; Paddle's `exclusive` negated."""


class AvgPool2d(Pool):
    """Return the mean of each window of an image, as torch.nn.AvgPool2d."""

    DIMS: ClassVar[int] = 2

    kind: Literal["avg_pool2d"]
    dialect: LayerDialect = "torch"
    """In dialect paddle, the gradient is multiplied by 1 / n as a float32 number, where n is the
    number of pixels in the window."""
    count_include_pad: bool = per_dialect({"torch": True, "paddle": False})
    """Whether the mean counts the pixels that padding has added; Paddle's `exclusive` negated."""


class AdaptivePool(LayerSpec):
    """
    The base of pools that divide an image or signal into a given number of windows.

    If an axis of n pixels is divided into m windows, window k (from 0 to m - 1) covers the pixels
    from floor(k * n / m) up to but not including ceil((k + 1) * n / m).
    """

    DIMS: ClassVar[int]
    """Number of axes besides the channels."""

    output_size: Positive = 1
    """Number of windows along each axis; 1 for one window, the whole image."""

    @model_validator(mode="after")
    def _sizes_are_one_per_axis(self) -> Self:
        size = self.output_size
        if isinstance(size, list) and len(size) != self.DIMS:
            reject(
                ["output_size"],
                f"output_size must be a whole number, or a list of length {self.DIMS} for "
                f"{self.kind}, got {short_repr(size)}",
                size,
            )
        return self

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (channels, output_size...)."""
        needs(self, given, IMAGE if len(IMAGE) - 1 == self.DIMS else SIGNAL)
        return TensorSpec((given.shape[0], *each(self.output_size, self.DIMS)), given.axes)

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output position depends on the input positions in its window."""
        n, m = given.positions, each(self.output_size, self.DIMS)[-1]
        return Reach(Fraction(n, m), Fraction(n - 1, m))


class AdaptiveAvgPool1d(AdaptivePool):
    """Return the mean of each window of a signal, as torch.nn.AdaptiveAvgPool1d."""

    DIMS: ClassVar[int] = 1

    kind: Literal["adaptive_avg_pool1d"]
    dialect: LayerDialect = "torch"
    """In dialect paddle, the gradient is multiplied by 1 / n as a float32 number, where n is the
    number of pixels in the window."""


class AdaptiveAvgPool2d(AdaptivePool):
    """Return the mean of each window of an image, as torch.nn.AdaptiveAvgPool2d."""

    DIMS: ClassVar[int] = 2

    kind: Literal["adaptive_avg_pool2d"]
    dialect: LayerDialect = "torch"
    """In dialect paddle, the gradient is multiplied by 1 / n as a float32 number, where n is the
    number of pixels in the window."""


class AdaptiveMaxPool1d(AdaptivePool):
    """Keep the largest value of each window of a signal, as torch.nn.AdaptiveMaxPool1d."""

    DIMS: ClassVar[int] = 1

    kind: Literal["adaptive_max_pool1d"]


class AdaptiveMaxPool2d(AdaptivePool):
    """Keep the largest value of each window of an image, as torch.nn.AdaptiveMaxPool2d."""

    DIMS: ClassVar[int] = 2

    kind: Literal["adaptive_max_pool2d"]


class GlobalPool(LayerSpec):
    """Return a vector from an image, signal or sequence: one value per channel or feature."""

    kind: Literal["global_pool"]
    mode: Literal["mean", "max"] = Field("mean")
    """Which value: the mean over all pixels or positions, or the largest."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (channels,), or (features,) of a sequence."""
        needs(self, given, IMAGE, SIGNAL, ("length", "features"))
        size = given.shape[-1] if given.axes[0] == "length" else given.shape[0]
        return TensorSpec((size,), ("features",))

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: the vector depends on all positions."""
        return Reach.all_of(given.positions)
