"""Modules that rearrange or repeat the values of an example."""

from __future__ import annotations

from torch import Tensor, nn

from optcore.spec.layers.base import IMAGE, SEQUENCE, TensorSpec
from optcore.spec.layers.shaping import Permute, Reshape, Upsample
from optcore.spec.layers.sizes import each


class ReshapeModule(nn.Module):
    """Put the values of each example into *shape*."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, given: Tensor) -> Tensor:
        """Return *given* with the values of each example in the new shape."""
        return given.reshape(len(given), *self.shape)


class PermuteModule(nn.Module):
    """
    Arrange the axes of each example in another order.

    Args:
        shape: the shape of an example in the result.
        transposes: whether channels and positions change places. If false, the values keep their
            order, since only an axis of size 1 is added, removed or moved.
    """

    def __init__(self, shape: tuple[int, ...], *, transposes: bool) -> None:
        super().__init__()
        self.shape, self.transposes = shape, transposes

    def forward(self, given: Tensor) -> Tensor:
        """Return *given* with its axes in the new order."""
        if given.dim() == 1 + len(IMAGE):
            given = given.squeeze(2)
        if self.transposes:
            given = given.transpose(1, 2)
        return given.reshape(len(given), *self.shape)


def reshape(layer: Reshape, given: TensorSpec) -> nn.Module:
    """Return the module for *layer*."""
    return ReshapeModule(layer.output(given).shape)


def permute(layer: Permute, given: TensorSpec) -> nn.Module:
    """Return the module for *layer*."""
    transposes = (given.axes == SEQUENCE) != (layer.axes == "sequence")
    return PermuteModule(layer.output(given).shape, transposes=transposes)


def upsample(layer: Upsample, given: TensorSpec) -> nn.Module:
    """Return torch's module for *layer*."""
    factors = tuple(map(float, each(layer.scale_factor, len(given.shape) - 1)))
    corners = None if layer.mode == "nearest" else layer.align_corners
    return nn.Upsample(
        scale_factor=factors if len(factors) > 1 else factors[0],
        mode=layer.mode,
        align_corners=corners,
    )
