"""The Adan optimizer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.optimizers.adam import AdamSpec


class Adan(AdamSpec):
    """
    Adam with Nesterov's momentum, by a mean v of the differences of gradients.

    ::

        p = p - lr * weight_decay * p
        d = g - previous g                             0 in the first update
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * d
        n = beta3 * n + (1 - beta3) * (g + (1 - beta2) * d) ** 2
        u = m / (1 - beta1 ** t) + (1 - beta2) * v / (1 - beta2 ** t)
        p = p - lr * u / (sqrt(n / (1 - beta3 ** t) + eps_root) + eps)

    This is the paper's formula, with 1 - beta for each of its betas. The authors' own code has
    beta2 where 1 - beta2 multiplies d and v.

    References:
        Xie et al., Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models,
        2022, Algorithm 1. https://arxiv.org/abs/2208.06677
        optax.adan.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax",)
    STATE_BYTES: ClassVar[str] = "16"

    kind: Literal["adan"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    beta1: float = Field(0.98, ge=0, lt=1)
    """Share of the old mean of the gradient that is kept."""
    beta2: float = Field(0.92, ge=0, lt=1)
    """Share of the old mean of the differences that is kept."""
    beta3: float = Field(0.99, ge=0, lt=1)
    """Share of the old mean square that is kept."""
    eps: float = Field(1e-8, ge=0)
    """Keeps the denominator away from 0."""
    eps_root: float = Field(1e-8, ge=0)
    """Keeps the mean square away from 0; it is added under the root."""
    decoupled_weight_decay: bool = True
    """Whether weight_decay shrinks p, instead of being added to the gradient."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return no flags: optax rounds no powers."""
        return {}
