"""LAMB: Adam with a step size per layer, from the norms of parameter and step."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.adam import AdamSpec
from optcore.spec.optimizers.cautious import CautiousSpec
from optcore.spec.optimizers.clip import AnyClip, ClipGlobalNorm

TIMM_CLIP = ClipGlobalNorm(kind="global_norm", max=1.0)
"""timm's default of max_grad_norm."""


class Lamb(CautiousSpec, AdamSpec):
    """
    Adam whose step is scaled, for each parameter tensor, to the norm of the parameter.

    ::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        u = m/(1 - beta1 ** t) / (sqrt(v/(1 - beta2 ** t)) + eps) + weight_decay * p
        r = norm(p) / norm(u)                1 where either norm is 0
        p = p - lr * r * u

    A decoupled decay, as in Keras, is not part of u: p = p - lr * weight_decay * p comes first. In
    Paddle and timm, r is 1 where weight_decay is 0 and always_adapt is false. In optax, the root in
    u is sqrt(v/(1 - beta2 ** t) + eps_root).

    timm clips gradients to a global norm of 1 by default; ``"clip": null`` turns the clip off.
    timm alone has three options. With trust_clip (LAMBC), r is at most 1. Without grad_averaging,
    m = beta1 * m + g. Without bias_correction, the divisors 1 - beta ** t are 1.

    References:
        You et al., Large Batch Optimization for Deep Learning, 2020, Algorithm 2.
        https://arxiv.org/abs/1904.00962
        paddle.optimizer.Lamb (lamb_weight_decay), keras.optimizers.Lamb, optax.lamb; timm 1.0.31:
        lamb, lambc, lambw, lambcw, lambcd, clamb, clambw.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("article", "paddle", "keras", "optax", "timm")
    # Paddle's kernel takes the betas as C++ floats too, but their powers begin as doubles, so the
    # rule rounds them (`kernel_in_float32`).
    FLOAT32_IN: ClassVar = {"paddle": frozenset({"eps", "weight_decay"})}
    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"eps_root"})

    kind: Literal["lamb"]
    dialect: Dialect = "article"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    clip: AnyClip | None = Field(
        default_factory=lambda data: TIMM_CLIP if data.get("dialect") == "timm" else None
    )
    """Limit on the gradient, applied before any regularizer; null for no limit. In timm the default
    is a global norm of 1 (max_grad_norm)."""
    eps: float = per_dialect(
        {"article": 1e-6, "paddle": 1e-6, "keras": 1e-7, "optax": 1e-6, "timm": 1e-6}, ge=0
    )
    """Keeps the denominator away from 0."""
    eps_root: float = per_dialect({"optax": 0.0}, ge=0)
    """Added under the root, to keep the mean square away from 0."""
    weight_decay: float = per_dialect(
        {"article": 0.01, "paddle": 0.01, "keras": 0.0, "optax": 0.0, "timm": 0.0}, ge=0
    )
    """Weight decay: part of the scaled step u, or, if decoupled, applied before it."""
    always_adapt: bool = per_dialect(
        {"article": True, "paddle": False, "keras": True, "timm": False}
    )
    """Whether the step is scaled even where weight_decay is 0."""
    trust_clip: bool = per_dialect({"timm": False})
    """Whether r is at most 1."""
    grad_averaging: bool = per_dialect({"timm": True})
    """Whether a gradient enters m with the share 1 - beta1, so that m is a mean."""
    bias_correction: bool = per_dialect({"timm": True})
    """Whether m and v are corrected for their start at 0."""

    @property
    def clips_like_torch(self) -> bool:
        """Always false: the clip in timm's LAMB adds nothing to the norm."""
        return False

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for the rounding, the scale r, the place of the decay, and the means."""
        flags = super().flags(single_precision=single_precision)
        return {
            **{name: flag for name, flag in flags.items() if name != "eps_hat"},
            "always_adapt": self.always_adapt,
            "decoupled": self.decoupled_weight_decay,
            "kernel_in_float32": self.paddle,
            # In the other dialects these fields hold timm's defaults (`per_dialect`).
            "trust_clip": self.trust_clip,
            "grad_averaging": self.grad_averaging,
            "bias_correction": self.bias_correction,
        }
