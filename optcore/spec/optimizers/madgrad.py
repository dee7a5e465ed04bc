"""The MADGRAD optimizer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.optimizers.base import OptimizerSpec


class MadGrad(OptimizerSpec):
    """
    Dual averaging with momentum: parameters move a part of the way to the dual-averaged point.

    ::

        g = g + weight_decay * p
        a = (lr + eps) * sqrt(t)
        v = v + a * g * g
        s = s + a * g
        z = x0 - s / (cbrt(v) + eps)
        p = momentum * p + (1 - momentum) * z

    s and v are the weighted sums of the gradients and of their squares, with the weight a. x0 are
    the initial parameters, and z is the dual-averaged point.

    References:
        Defazio and Jelassi, Adaptivity without Compromise: A Momentumized, Adaptive, Dual Averaged
        Gradient Method for Stochastic Optimization, 2021, Algorithm 1.
        https://arxiv.org/abs/2101.11075
        optax.contrib.madgrad; timm 1.0.31: madgrad, madgradw.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax", "timm")
    STATE_BYTES: ClassVar[str] = "12"
    KEEPS_WEIGHTS: ClassVar[bool] = True

    kind: Literal["madgrad"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(0.01, gt=0)
    """Learning rate."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Share of the old parameter that is kept."""
    eps: float = Field(1e-6, ge=0)
    """Keeps the denominator away from 0. It is also added to lr."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flag float32_gain: a is computed from a float32 root of t, as in optax."""
        return {"float32_gain": self.dialect == "optax"}
