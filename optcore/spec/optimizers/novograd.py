"""The NovoGrad optimizer."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Literal

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.layers.base import Shape
from optcore.spec.optimizers.adam import AdamSpec


class NovoGrad(AdamSpec):
    """
    Momentum of gradients, where the gradient of each tensor is divided by its running norm.

    ::

        v = beta2 * v + (1 - beta2) * norm(g) ** 2     norm(g) ** 2 in the first update
        m = beta1 * m + g / (sqrt(v + eps_root) + eps) + weight_decay * p
        p = p - lr * m

    m is the momentum, and v is one number per parameter tensor. In timm, v is a float32 number, and
    it starts at the first norm(g) ** 2 that is not 0.

    References:
        Ginsburg et al., Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training
        of Deep Networks, 2019, Algorithm 1. https://arxiv.org/abs/1905.11286
        optax.novograd; timm 1.0.31: novograd, novogradw, novogradc.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax", "timm")
    STATE_BYTES: ClassVar[str] = "4"

    kind: Literal["novograd"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = per_dialect({"optax": 0.01, "timm": 1e-3}, gt=0)
    """Learning rate."""
    beta1: float = per_dialect({"optax": 0.9, "timm": 0.95}, ge=0, lt=1)
    """Share of the old momentum that is kept."""
    beta2: float = per_dialect({"optax": 0.25, "timm": 0.98}, ge=0, lt=1)
    """Share of the old squared norm that is kept."""
    eps: float = per_dialect({"optax": 1e-6, "timm": 1e-8}, ge=0)
    """Keeps the denominator away from 0."""
    eps_root: float = per_dialect({"optax": 0.0}, ge=0)
    """Added under the root, to keep the squared norm away from 0."""

    grad_averaging: bool = per_dialect({"timm": False})
    """Whether the terms that are added to the momentum are multiplied by 1 - beta1."""
    amsgrad: bool = per_dialect({"timm": False})
    """Whether to divide by the root of the largest v so far."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for the norm and for the terms that are added to the momentum."""
        return {
            "amsgrad": self.amsgrad,
            "grad_averaging": self.grad_averaging,
            "in_float32": self.dialect == "timm",
        }

    def state_bytes(self, shape: Shape) -> int:
        """Return the bytes of state for a float32 parameter of *shape*: those of m alone."""
        return 4 * prod(shape)
