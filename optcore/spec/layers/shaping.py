"""Layers that only arrange values anew, or repeat them."""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

from pydantic import Field

from optcore.spec.layers.base import (
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
from optcore.spec.layers.sizes import Positive, each

KNOWN: tuple[tuple[Axis, ...], ...] = (VECTOR, SEQUENCE, SIGNAL, IMAGE)
"""The axes that values may have."""


class Flatten(LayerSpec):
    """Put all values of an example into one row."""

    kind: Literal["flatten"]

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (number of values in an example,)."""
        needs(self, given, *KNOWN)
        return TensorSpec((given.size,), VECTOR)


class Reshape(LayerSpec):
    """Put the values of an example, in their order, into another shape."""

    kind: Literal["reshape"]
    shape: list[Annotated[int, Field(ge=-1, le=MAX_UNITS * 16)]] = Field(min_length=1, max_length=3)
    """Size of each dimension; one of them may be -1, for what is left."""
    axes: Literal["vector", "sequence", "signal", "image"] | None = None
    """What the dimensions are. null: a vector, a sequence (length, features) or an image (channels,
    height, width), by their number. signal: (channels, length)."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return the shape; the product of its sizes must be the number of values."""
        needs(self, given, *KNOWN)
        named: dict[str, tuple[Axis, ...]] = {
            "vector": VECTOR,
            "sequence": SEQUENCE,
            "signal": SIGNAL,
            "image": IMAGE,
        }
        own = {1: VECTOR, 2: SEQUENCE, 3: IMAGE}[len(self.shape)]
        axes = own if self.axes is None else named[self.axes]
        if len(axes) != len(self.shape):
            raise ShapeError(f"axes {self.axes} need {len(axes)} sizes, got {self.shape}")
        known = prod(size for size in self.shape if size != -1)
        free = self.shape.count(-1)
        fits = free <= 1 and known > 0 and 0 not in self.shape
        if not fits or (given.size % known if free else given.size != known):
            raise ShapeError(
                f"shape must hold the {given.size} values of {given}, got {self.shape}"
            )
        return TensorSpec(
            tuple(given.size // known if size == -1 else size for size in self.shape), axes
        )


class Permute(LayerSpec):
    """
    Exchange axes.

    ``["length", "features"]`` makes a sequence of a signal (channels, length), or of an image of
    height 1: its columns are the positions, and its channels the features.
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
                raise ShapeError(f"permute needs an image of height 1, got {given}")
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

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (channels, ...), each side times its factor."""
        needs(self, given, SIGNAL, IMAGE)
        sides = given.shape[1:]
        fits = {"linear": 1, "bilinear": 2, "bicubic": 2}.get(self.mode, len(sides))
        if fits != len(sides):
            raise ShapeError(
                f"mode {self.mode} needs {'a signal' if fits == 1 else 'an image'}, got {given}"
            )
        factor = self.scale_factor
        if isinstance(factor, list) and len(factor) != len(sides):
            raise ShapeError(f"scale_factor must be a list of {len(sides)}, got {factor}")
        scaled = (side * by for side, by in zip(sides, each(factor, len(sides)), strict=True))
        return TensorSpec((given.shape[0], *scaled), given.axes)
