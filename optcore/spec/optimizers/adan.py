"""The Adan optimizer."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.errors import reject
from optcore.spec.optimizers.adam import AdamSpec
from optcore.spec.optimizers.cautious import CautiousSpec


class Adan(CautiousSpec, AdamSpec):
    """
    Adam with Nesterov's momentum, computed from a running mean of the gradient's changes.

    ::

        p = p - lr * weight_decay * p                  if not proximal
        d = g - previous g                             0 in the first update
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * d
        n = beta3 * n + (1 - beta3) * (g + s * d) ** 2
        u = m / (1 - beta1 ** t) + s * v / (1 - beta2 ** t)
        p = p - lr * u / (sqrt(n / (1 - beta3 ** t) + eps_root) + eps)
        p = p / (1 + lr * weight_decay)                if proximal

    m and v are the running means of the gradients and of their changes d.

    s is beta2 in timm, in the authors' own code and in the paper. (Each beta of the paper is 1
    minus the beta here.) In optax, s is 1 - beta2. If cautious is true, m is masked and v is not.

    References:
        Xie et al., Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models,
        2022, Algorithm 1. https://arxiv.org/abs/2208.06677
        optax.adan; timm 1.0.31: adan, adanw, cadan, cadanw.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax", "timm")
    STATE_BYTES: ClassVar[str] = "16"

    kind: Literal["adan"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    beta1: float = Field(0.98, ge=0, lt=1)
    """Share of the old mean of the gradient that is kept."""
    beta2: float = Field(0.92, ge=0, lt=1)
    """Share of the old mean of the changes of the gradient that is kept."""
    beta3: float = Field(0.99, ge=0, lt=1)
    """Share of the old mean square that is kept."""
    eps: float = Field(1e-8, ge=0)
    """Keeps the denominator away from 0."""
    eps_root: float = per_dialect({"optax": 1e-8}, ge=0)
    """Added under the root, to keep the mean square away from 0."""
    decoupled_weight_decay: bool = True
    """Whether weight_decay shrinks p, instead of being added to the gradient."""
    proximal: bool = per_dialect({"timm": True})
    """Whether the decay comes after the step. p is then divided by 1 + lr * weight_decay. timm's
    adan has true, and timm's adanw has false."""

    @model_validator(mode="after")
    def _proximal_decay_is_decoupled(self) -> Self:
        if self.dialect == "timm" and not self.decoupled_weight_decay:
            reject(
                ["decoupled_weight_decay"],
                "decoupled_weight_decay must be true for adan in dialect timm, got false",
                False,
            )
        return self

    @property
    def own_decay(self) -> bool:
        """
        Whether the update rule applies the weight decay itself.

        True in timm with *proximal*, where the decay comes after the step.
        """
        return self.dialect == "timm" and self.proximal

    def hyperparameters(self) -> dict[str, float]:
        """Return the hyperparameters by name. In timm, eps_root is 0."""
        numbers = super().hyperparameters()
        return {**numbers, "eps_root": 0.0} if self.dialect == "timm" else numbers

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for the factor s of the changes, and for a cautious step."""
        return {"beta2_share": self.dialect == "timm", "cautious": self.cautious}
