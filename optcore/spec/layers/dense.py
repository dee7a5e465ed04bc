"""Fully connected layers, and the layer that flattens images for them."""

from __future__ import annotations

from math import prod
from typing import Literal

from pydantic import Field

from optcore.spec.layers.base import MAX_UNITS, LayerSpec, Parameter, Shape, ShapeError


class Linear(LayerSpec):
    """A fully connected layer."""

    kind: Literal["linear"]
    out_features: int = Field(ge=1, le=MAX_UNITS)
    bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        """Return (out_features,)."""
        self._in_features(shape)
        return (self.out_features,)

    def parameters(self, shape: Shape) -> list[Parameter]:
        """Return weight (out, in) and bias (out,)."""
        weight = Parameter("weight", (self.out_features, self._in_features(shape)))
        return [weight, Parameter("bias", (self.out_features,))] if self.bias else [weight]

    def flops(self, shape: Shape) -> int:
        """Return 2 operations per weight and 1 per bias."""
        return sum((2 if p.name == "weight" else 1) * p.size for p in self.parameters(shape))

    def _in_features(self, shape: Shape) -> int:
        if len(shape) != 1:
            raise ShapeError(
                f"linear needs a flat input, got shape {shape}; insert a flatten layer before it"
            )
        return shape[0]


class Flatten(LayerSpec):
    """Put all values of an example into one row."""

    kind: Literal["flatten"]

    def output_shape(self, shape: Shape) -> Shape:
        """Return (number of values in an example,)."""
        return (prod(shape),)
