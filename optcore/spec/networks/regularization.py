"""Layers that differ between training and evaluation: dropout and normalization."""

from __future__ import annotations

from math import prod
from typing import Literal

from pydantic import Field

from optcore.spec.networks.base import IMAGE_DIMS, LayerSpec, Parameter, Shape, ShapeError


class Dropout(LayerSpec):
    """
    In training, set each value to 0 with probability p, and multiply the rest by 1/(1-p).

    The values that become 0 depend only on the seed of the run, the step, the batch within the step
    and the name of the layer.
    """

    kind: Literal["dropout"]
    p: float = Field(0.5, ge=0, lt=1)
    """Probability that a value is set to 0."""

    @property
    def draws(self) -> bool:
        """Whether the layer draws random numbers in training, which it does if p is above 0."""
        return self.p > 0


class BatchNorm(LayerSpec):
    """Normalise values over the batch, per channel or feature, then scale and shift them."""

    kind: Literal["batch_norm"]
    momentum: float = Field(0.1, gt=0, le=1)
    """Weight of a new batch in the running statistics (torch's convention)."""
    eps: float = Field(1e-5, gt=0)
    """Added to the variance."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return *shape*, or raise `ShapeError` if it is neither flat nor an image."""
        if len(shape) not in (1, IMAGE_DIMS):
            raise ShapeError(f"batch_norm needs a flat or an image input, got shape {shape}")
        return shape

    def parameters(self, shape: Shape) -> list[Parameter]:
        """Return weight and bias, each with one element per channel or feature."""
        return [Parameter("weight", shape[:1]), Parameter("bias", shape[:1])]

    def flops(self, shape: Shape) -> int:
        """Return 4 operations per value."""
        return 4 * prod(shape)
