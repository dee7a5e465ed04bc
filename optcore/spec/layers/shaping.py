"""Layers that change the shape of an example: flatten, reshape, permute and upsample."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.errors import reject
from optcore.spec.layers.base import (
    ALONG,
    IMAGE,
    MAX_UNITS,
    SEQUENCE,
    SIGNAL,
    VECTOR,
    Axis,
    LayerSpec,
    ShapeError,
    TensorSpec,
    needs,
)
from optcore.spec.layers.reach import PRESENT, Reach
from optcore.spec.layers.sizes import Positive, each

AXES: dict[str, tuple[Axis, ...]] = {
    "vector": VECTOR,
    "sequence": SEQUENCE,
    "signal": SIGNAL,
    "image": IMAGE,
}
"""Maps the words for what an example is to its axes."""
KNOWN = tuple(AXES.values())
"""The axes that values may have."""


class Flatten(LayerSpec):
    """Put all values of an example into one row."""

    kind: Literal["flatten"]

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (number of values in an example,)."""
        needs(self, given, *KNOWN)
        return TensorSpec((given.size,), VECTOR)

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: a value of the vector depends on one position, the vector on all."""
        return Reach.all_of(given.positions, certain=given.positions == 1)


class Reshape(LayerSpec):
    """Put the values of an example, in their order, into another shape."""

    kind: Literal["reshape"]
    shape: list[Annotated[int, Field(ge=-1, le=MAX_UNITS * 16)]] = Field(min_length=1, max_length=3)
    """Size of each dimension; one of them may be -1, for what is left."""
    axes: Literal["vector", "sequence", "signal", "image"] | None = None
    """What the dimensions are. null: a vector, a sequence (length, features) or an image (channels,
    height, width), by their number. signal: (channels, length)."""

    @model_validator(mode="after")
    def _shape_is_one(self) -> Self:
        if 0 in self.shape or self.shape.count(-1) > 1:
            text = f"shape must have sizes of at least 1, and at most one -1, got {self.shape}"
            reject(["shape"], text, self.shape)
        if len(self._axes) != len(self.shape):
            text = f"axes {self.axes} needs a shape of {len(self._axes)} sizes, got {self.shape}"
            reject(["axes"], text, self.axes)
        return self

    @property
    def _axes(self) -> tuple[Axis, ...]:
        by_number = {len(axes): axes for axes in (VECTOR, SEQUENCE, IMAGE)}
        return by_number[len(self.shape)] if self.axes is None else AXES[self.axes]

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return the shape; the product of its sizes must be the number of values."""
        needs(self, given, *KNOWN)
        known = prod(size for size in self.shape if size != -1)
        left, rest = divmod(given.size, known)
        if rest or (-1 not in self.shape and left != 1):
            raise ShapeError(
                f"shape must hold the {given.size} values of {given}, got {self.shape}"
                + (f", whose product is {known}" if -1 not in self.shape else "")
            )
        return TensorSpec(tuple(left if size == -1 else size for size in self.shape), self._axes)

    def reach(self, given: TensorSpec) -> Reach:
        """Return from which positions of *given* the values of an output position may come."""
        found = self.output(given)
        if given == found:
            return PRESENT
        if given.axes == found.axes == SEQUENCE:
            old, new = given.shape[-1], found.shape[-1]
            return Reach(Fraction(new, old), Fraction(new - 1, old), certain=False)
        last = given.axes[-1] in ALONG and found.axes[-1] in ALONG  # rows are joined or divided
        if last and given.shape[-1] == found.shape[-1]:
            return PRESENT
        return Reach.all_of(given.positions, certain=given.positions == 1)


class Permute(LayerSpec):
    """
    Exchange the axes of a sequence, a signal, or an image of height 1.

    For example, ``"axes": "sequence"`` turns an image of height 1 into a sequence. The columns
    become the positions, and the channels become the features.
    """

    kind: Literal["permute"]
    axes: Literal["sequence", "signal", "image"]
    """What comes out: sequence (length, features), signal (channels, length), or image (channels,
    height 1, width)."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return a sequence, signal or image with the values of *given*."""
        needs(self, given, SEQUENCE, SIGNAL, IMAGE)
        if given.axes == IMAGE:
            channels, height, length = given.shape
            if height != 1:
                raise ShapeError(
                    f"permute needs an image of height 1, got {given}; reduce the "
                    "height by pools or strides, or join height and channels by reshape"
                )
        elif given.axes == SIGNAL:
            channels, length = given.shape
        else:
            length, channels = given.shape
        match self.axes:
            case "sequence":
                return TensorSpec((length, channels), SEQUENCE)
            case "signal":
                return TensorSpec((channels, length), SIGNAL)
            case "image":
                return TensorSpec((channels, 1, length), IMAGE)


class Upsample(LayerSpec):
    """Repeat or interpolate the pixels of an image or signal, as torch.nn.Upsample."""

    kind: Literal["upsample"]
    scale_factor: Positive = 2
    """Factor of each side."""
    mode: Literal["nearest", "linear", "bilinear", "bicubic"] = "nearest"
    """How new pixels are computed: linear is for signals, bilinear and bicubic are for images."""
    align_corners: bool = False
    """Whether the corner pixels keep their values; not with nearest."""

    @model_validator(mode="after")
    def _corners_are_interpolated(self) -> Self:
        if self.align_corners and self.mode == "nearest":
            text = "align_corners must be false for mode nearest, which computes no new values, got"
            reject(["align_corners"], f"{text} true", value=True)
        return self

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (channels, ...), each side times its factor."""
        needs(self, given, SIGNAL, IMAGE)
        sides = given.shape[1:]
        fits = {"linear": 1, "bilinear": 2, "bicubic": 2}.get(self.mode, len(sides))
        if fits != len(sides):
            raise ShapeError(
                f"mode {self.mode} needs {'a signal' if fits == 1 else 'an image'}, got {given}; "
                f"use {'bilinear' if fits == 1 else 'linear'}"
            )
        factor = self.scale_factor
        if isinstance(factor, list) and len(factor) != len(sides):
            raise ShapeError(
                f"scale_factor must be a whole number, or a list of length {len(sides)} for "
                f"{given}, got {factor}"
            )
        scaled = (side * by for side, by in zip(sides, each(factor, len(sides)), strict=True))
        return TensorSpec((given.shape[0], *scaled), given.axes)

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: a pixel depends on the pixel that it repeats, or on nearby pixels."""
        before, after = given.positions, self.output(given).positions
        slope = Fraction(before, after)
        if self.mode == "nearest" or before == after:
            return Reach(slope, 0)
        if self.mode == "bicubic":  # two pixels at each side
            return Reach(slope, (slope + 3) / 2)
        if self.align_corners:
            return Reach(Fraction(before - 1, after - 1), Fraction(after - 2, after - 1))
        return Reach(slope, Fraction(1, 2))
