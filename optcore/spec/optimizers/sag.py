"""SAG, which averages gradients over updates."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.layers.base import Shape
from optcore.spec.optimizers.base import OptimizerSpec


class Sag(OptimizerSpec):
    """
    Stochastic average gradient: steps along the mean of the latest gradients of batch_num batches.

    ::

        i = (t - 1) mod batch_num              the batch of this update
        d = d - y[i] + g                       sum of the latest gradients of all batches
        y[i] = g                               latest gradient of batch i, at first 0
        p = p - lr * d / min(t, batch_num)

    The batches must come in the same order in every epoch. The state holds batch_num gradients.

    References:
        Schmidt, Le Roux and Bach, Minimizing Finite Sums with the Stochastic Average Gradient,
        2017, Algorithm 1. https://arxiv.org/abs/1309.2388
        paddle.optimizer.ASGD.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("paddle", "article")
    STATE_BYTES: ClassVar[str] = "4 * (1 + batch_num)"

    kind: Literal["sag"]
    dialect: Dialect = "paddle"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    # Each batch has a slot as large as the parameters.
    batch_num: int = Field(1, ge=1, le=1000)
    """Number of batches in an epoch."""

    def state_bytes(self, shape: Shape) -> int:
        """Return the bytes of state for a float32 parameter of *shape*."""
        return 4 * (1 + self.batch_num) * prod(shape)
