"""The module of a point."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from optcore.spec.layers.base import TensorSpec
from optcore.spec.layers.point import Point


class PointModule(nn.Module):
    """
    A point x that is trained; the output is x for each example, whatever the example is.

    Args:
        start: the coordinates of x before the first step.
    """

    def __init__(self, start: list[float]) -> None:
        super().__init__()
        # In float64, since only the conversion of the whole network knows the dtype of the run: a
        # start of -1.2 that was rounded to float32 first would be another one in float64.
        self.x = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, given: Tensor) -> Tensor:
        """Return x, once for each example in *given* (batch, features)."""
        return self.x.expand(len(given), -1)


def point(layer: Point, given: TensorSpec) -> nn.Module:
    """Return the module for *layer*."""
    start = layer.start if isinstance(layer.start, list) else [layer.start] * given.size
    return PointModule(start)
