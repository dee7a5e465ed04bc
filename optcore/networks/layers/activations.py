"""Modules of activations."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from optcore.spec.layers.activations import Hardsigmoid

TORCHS_SLOPE = 1 / 6


class HardsigmoidModule(nn.Module):
    """
    Compute min(max(slope * x + offset, 0), 1).

    Args:
        slope: factor of x.
        offset: value at 0.
    """

    def __init__(self, slope: float, offset: float) -> None:
        super().__init__()
        self.slope, self.offset = slope, offset

    def forward(self, given: Tensor) -> Tensor:
        """Return the value of the function for each element of *given*."""
        return (given * self.slope + self.offset).clamp(0, 1)

    def extra_repr(self) -> str:
        """Return what `repr` shows of the layer."""
        return f"slope={self.slope}, offset={self.offset}"


def hardsigmoid(layer: Hardsigmoid) -> nn.Module:
    """Return the module for *layer*."""
    return hardsigmoid_of(layer.slope, layer.offset, rounded=layer.dialect == "paddle")


def hardsigmoid_of(slope: float, offset: float, *, rounded: bool) -> nn.Module:
    """
    Return a module that computes min(max(slope * x + offset, 0), 1).

    The module is torch's if torch has one for these numbers, else a `HardsigmoidModule`. With
    *rounded*, *slope* and *offset* are first rounded to float32.
    """
    if rounded:
        return HardsigmoidModule(float(np.float32(slope)), float(np.float32(offset)))
    # torch's kernel takes less than half of the time: one pass over memory in place of three.
    if (slope, offset) == (TORCHS_SLOPE, 0.5):
        return nn.Hardsigmoid()
    return HardsigmoidModule(slope, offset)
