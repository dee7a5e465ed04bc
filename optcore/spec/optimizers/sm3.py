"""The SM3 optimizer."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.layers.base import Shape
from optcore.spec.optimizers.base import OptimizerSpec


class Sm3(OptimizerSpec):
    """
    AdaGrad that keeps one number per index of each dimension, in place of one per element.

    ::

        g   = g + weight_decay * p
        s   = min(a_0, a_1, ...) + g * g
        a_i = max(s, over all dimensions but i)
        u   = g / sqrt(s + eps)                        0 where s is 0
        m   = momentum * m + (1 - momentum) * u
        p   = p - lr * m

    a_i has the numbers of dimension i, and is broadcast over the other dimensions in the minimum.
    For a vector, s itself is kept. A parameter may have at most 8 dimensions.

    References:
        Anil et al., Memory-Efficient Adaptive Optimization, 2019, Algorithm SM3-II.
        https://arxiv.org/abs/1901.11150
        optax.sm3.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax",)
    STATE_BYTES: ClassVar[str] = "4, and 4 * (n + m) for a matrix n x m; 8 for a vector"

    kind: Literal["sm3"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(0.1, gt=0)
    """Learning rate."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Share of the old mean step that is kept."""
    eps: float = Field(1e-8, ge=0)
    """Added under the root, to keep s away from 0."""

    def state_bytes(self, shape: Shape) -> int:
        """Return the bytes of state for a float32 parameter of *shape*."""
        return 4 * (prod(shape) + sum(shape))
