"""AdEMAMix, and its simplified form."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.optimizers.adam import AdamSpec


class AdEmaMix(AdamSpec):
    """
    Adam with a second, slower mean of the gradients, over thousands of updates.

    ::

        p = p - lr * weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        s = beta3 * s + (1 - beta3) * g
        v = beta2 * v + (1 - beta2) * g * g
        u = (m / (1 - beta1 ** t) + alpha * s) / (sqrt(v / (1 - beta2 ** t) + eps_root) + eps)
        p = p - lr * u

    m and s are the fast and the slow mean of the gradients, and v is the mean of their squares.

    The paper raises alpha and beta3 over the first updates. Here, schedules of alpha and beta3 do
    this.

    References:
        Pagliardini, Ablin and Grangier, The AdEMAMix Optimizer: Better, Faster, Older, 2024,
        Algorithm 1. https://arxiv.org/abs/2409.03137
        optax.contrib.ademamix.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax",)
    STATE_BYTES: ClassVar[str] = "12"

    kind: Literal["ademamix"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    beta3: float = Field(0.9999, ge=0, lt=1)
    """Share of the old slow mean that is kept."""
    alpha: float = Field(5.0, ge=0)
    """Weight of the slow mean."""
    eps: float = Field(1e-8, ge=0)
    """Keeps the denominator away from 0."""
    eps_root: float = Field(0.0, ge=0)
    """Added under the root, to keep the mean square away from 0."""
    decoupled_weight_decay: bool = True
    """Whether weight_decay shrinks p, instead of being added to the gradient."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return no flags: optax, the only dialect, rounds no powers of the betas."""
        return {}


class SimplifiedAdEmaMix(AdamSpec):
    """
    AdEMAMix whose slow mean is a decaying sum, and whose fast mean is the gradient itself.

    ::

        p = p - lr * weight_decay * p
        m = beta1 * m + g
        v = beta2 * v + (1 - beta2) * g * g
        p = p - lr * (m + alpha * g) / (sqrt(v / (1 - beta2 ** t) + eps_root) + eps)

    m is 1 / (1 - beta1) times as large as a mean, so lr should be smaller than for Adam by the same
    factor.

    References:
        Morwani et al., Connections between Schedule-Free Optimizers, AdEMAMix, and Accelerated SGD
        Variants, 2025. https://arxiv.org/abs/2502.02431
        optax.contrib.simplified_ademamix.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax",)

    kind: Literal["simplified_ademamix"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-5, gt=0)
    """Learning rate."""
    beta1: float = Field(0.99, ge=0, lt=1)
    """Share of the old sum of the gradients that is kept."""
    beta2: float = Field(0.95, ge=0, lt=1)
    """Share of the old mean of the squared gradient that is kept."""
    alpha: float = Field(0.0, ge=0)
    """Weight of the gradient."""
    eps: float = Field(1e-8, ge=0)
    """Keeps the denominator away from 0."""
    eps_root: float = Field(0.0, ge=0)
    """Added under the root, to keep the mean square away from 0."""
    decoupled_weight_decay: bool = True
    """Whether weight_decay shrinks p, instead of being added to the gradient."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return no flags: optax, the only dialect, rounds no powers of the betas."""
        return {}
