"""The NovoGrad optimizer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.optimizers.adam import AdamSpec


class NovoGrad(AdamSpec):
    """
    A momentum of gradients that are divided, each tensor as a whole, by their running norm.

    ::

        v = beta2 * v + (1 - beta2) * norm(g) ** 2     norm(g) ** 2 in the first update
        m = beta1 * m + g / (sqrt(v + eps_root) + eps) + weight_decay * p
        p = p - lr * m

    v is one number per parameter tensor.

    References:
        Ginsburg et al., Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training
        of Deep Networks, 2019, Algorithm 1. https://arxiv.org/abs/1905.11286
        optax.novograd.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax",)
    STATE_BYTES: ClassVar[str] = "4"

    kind: Literal["novograd"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(0.01, gt=0)
    """Learning rate."""
    beta2: float = Field(0.25, ge=0, lt=1)
    """Share of the old squared norm that is kept."""
    eps: float = Field(1e-6, ge=0)
    """Keeps the denominator away from 0."""
    eps_root: float = Field(0.0, ge=0)
    """Keeps the squared norm away from 0; it is added under the root."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return no flags: optax rounds no powers."""
        return {}
