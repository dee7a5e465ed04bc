"""Optimizers that divide by how far a gradient is from its mean: AdaBelief and ACProp."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.optimizers.adam import AdamSpec


class AdaBelief(AdamSpec):
    """
    Adam whose steps are large where the gradient is as its mean predicts.

    ::

        g = g + weight_decay * p                       p = p - lr * weight_decay * p if decoupled
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps_root
        n = m / (1 - beta1 ** t)
            beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1 ** t)    nesterov
        p = p - lr * n / (sqrt(s / (1 - beta2 ** t)) + eps)

    References:
        Zhuang et al., AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients,
        2020, Algorithm 2. https://arxiv.org/abs/2010.07468
        optax.adabelief.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax",)

    kind: Literal["adabelief"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    eps: float = Field(1e-16, ge=0)
    """Keeps the denominator away from 0."""
    eps_root: float = Field(1e-16, ge=0)
    """Added to s in every update; it stays in s."""
    nesterov: bool = False
    """Whether to look ahead, by mixing the gradient into the mean once more (n above)."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flag for looking ahead."""
        return {"nesterov": self.nesterov}


class AcProp(AdamSpec):
    """
    AdaBelief that divides a gradient by the spread of the gradients before it.

    ::

        p = p - lr * weight_decay * p
        d = sqrt(s / (1 - beta2 ** (t - 1)))           1 in the first update
        p = p - lr * g / (d + eps)
        s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps_root
        m = beta1 * m + (1 - beta1) * g

    References:
        Zhuang et al., Momentum Centering and Asynchronous Update for Adaptive Gradient Methods,
        2021, Algorithm 3. https://arxiv.org/abs/2110.05454
        optax.contrib.acprop.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax",)

    kind: Literal["acprop"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    eps: float = Field(1e-16, ge=0)
    """Keeps the denominator away from 0."""
    eps_root: float = Field(1e-16, ge=0)
    """Added to s in every update; it stays in s."""
    decoupled_weight_decay: bool = True
    """Whether weight_decay shrinks p, instead of being added to the gradient."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return no flags: optax rounds no powers."""
        return {}
