"""LARS: momentum with a step size per layer, from the norms of parameter and gradient."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.base import OptimizerSpec


class Lars(OptimizerSpec):
    """
    Momentum whose lr is scaled, for each parameter tensor, by the norms of parameter and gradient.

    ::

        r = lars_coeff * norm(p) / (norm(g) + weight_decay * norm(p) + eps)

        article, paddle, optax                              timm
        v = momentum * v + lr * r * (g + weight_decay * p)  u = r * (g + weight_decay * p)
        p = p - v                                           v = momentum * v + (1 - dampening) * u
                                                            p = p - lr * v

        nesterov in optax    p = p - momentum * v - lr * r * (g + weight_decay * p)
        nesterov in timm     p = p - lr * (u + momentum * v)

    v is the velocity, and r scales the step of the tensor.

    r is 1 where norm(p) or norm(g) is 0. In Paddle and timm, r is also 1 where weight_decay is 0;
    timm's always_adapt turns this off. In optax, the divisor of r is norm(g + weight_decay * p) +
    eps, and r is 1 if adapt is false.

    In timm, v is u at the first update. With timm's trust_clip (LARC), min(r / lr, 1) takes the
    place of r.

    References:
        You, Gitman and Ginsburg, Large Batch Training of Convolutional Networks, 2017,
        Algorithm 1. https://arxiv.org/abs/1708.03888
        paddle.incubate.optimizer.LarsMomentumOptimizer, optax.lars; timm 1.0.31: lars, larc, nlars,
        nlarc.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("article", "paddle", "optax", "timm")
    STATE_BYTES: ClassVar[str] = "4"

    kind: Literal["lars"]
    dialect: Dialect = "article"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = per_dialect({"article": 0.1, "paddle": None, "optax": None, "timm": 1.0}, gt=0)
    """Learning rate."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Share of the old velocity that is kept."""
    dampening: float = per_dialect({"timm": 0.0}, ge=0, le=1)
    """Share of a step that is left out of the velocity."""
    nesterov: bool = per_dialect({"optax": False, "timm": False})
    """Whether to look ahead: the step is applied once more, in addition to the new velocity."""
    weight_decay: float = per_dialect(
        {"article": 5e-4, "paddle": 5e-4, "optax": 0.0, "timm": 0.0}, ge=0
    )
    """L2 regularization, as part of the step that is scaled."""
    lars_coeff: float = Field(1e-3, gt=0)
    """Trust coefficient: how far a tensor may move per step, relative to its norm."""
    eps: float = per_dialect({"article": 0.0, "paddle": 0.0, "optax": 0.0, "timm": 1e-8}, ge=0)
    """Keeps the denominator away from 0."""
    adapt: bool = per_dialect({"optax": True})
    """Whether lr is scaled by the norms; a group with false exempts its parameters
    (trust_ratio_mask in optax)."""
    always_adapt: bool = per_dialect({"timm": False})
    """Whether the step is scaled even where weight_decay is 0."""
    trust_clip: bool = per_dialect({"timm": False})
    """Whether r is min(r / lr, 1), so that r only ever lowers lr."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for the velocity (lr_inside, nesterov) and for the scale r."""
        return {
            "adapt": self.adapt,
            "always_adapt": self.always_adapt or self.dialect in ("article", "optax"),
            "lr_inside": self.dialect != "timm",
            "nesterov": self.nesterov,
            "norm_with_decay": self.dialect == "optax",
            "trust_clip": self.trust_clip,
        }
