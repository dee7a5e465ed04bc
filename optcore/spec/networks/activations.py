"""Activations: functions without parameters that are applied to the output of a layer."""

from __future__ import annotations

from math import prod
from typing import Literal

from optcore.spec.networks.base import LayerSpec, Shape, ShapeError


class Relu(LayerSpec):
    """The rectifier: max(x, 0)."""

    kind: Literal["relu"]


class LogSoftmax(LayerSpec):
    """Logarithms of probabilities: x - log(sum(exp(x))), over the features."""

    kind: Literal["log_softmax"]

    def output_shape(self, shape: Shape) -> Shape:
        """Return *shape*, or raise `ShapeError` if it has more than one dimension."""
        if len(shape) != 1:
            raise ShapeError(f"log_softmax needs a flat input, got shape {shape}")
        return shape

    def flops(self, shape: Shape) -> int:
        """Return 4 operations per value."""
        return 4 * prod(shape)
