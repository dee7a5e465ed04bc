"""Optimizers that divide by the spread of gradients around their mean: AdaBelief and ACProp."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.adam import AdamSpec


class AdaBelief(AdamSpec):
    """
    Adam whose steps are large where the gradient is close to its running mean.

    ::

        g = g + weight_decay * p               if decoupled: p = p - lr * weight_decay * p instead
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps_root
        n = m / (1 - beta1 ** t)
            nesterov: beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1 ** t)
        p = p - lr * n / (sqrt(s / (1 - beta2 ** t)) + eps)

    m is the running mean of the gradients, and s is the running mean square of g - m. timm has no
    field eps_root, and uses eps in its place.

    With timm's option rectify, the step is that of radam, with s in place of v. In the first
    updates, in which radam does not divide, p = p - lr * n. If degenerated_to_sgd is false, p does
    not change in these updates.

    References:
        Zhuang et al., AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients,
        2020, Algorithm 2. https://arxiv.org/abs/2010.07468
        optax.adabelief; timm 1.0.31: adabelief, radabelief (with rectify).
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax", "timm")

    kind: Literal["adabelief"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    eps: float = Field(1e-16, ge=0)
    """Keeps the denominator away from 0."""
    eps_root: float = per_dialect({"optax": 1e-16}, ge=0)
    """Added to s in every update, so that s accumulates eps_root."""
    nesterov: bool = per_dialect({"optax": False})
    """Whether to look ahead, by mixing the gradient into the mean once more (n above)."""
    amsgrad: bool = per_dialect({"timm": False})
    """Whether to divide by the largest s so far, except in a rectified step."""
    rectify: bool = per_dialect({"timm": False})
    """Whether steps are rectified as in radam: the first are not divided by the root of s, and the
    next are reduced."""
    degenerated_to_sgd: bool = per_dialect({"timm": True})
    """With rectify: whether p changes, by steps without division, before s is reliable."""
    decoupled_weight_decay: bool = per_dialect({"optax": False, "timm": True})
    """Whether weight_decay shrinks p by lr * weight_decay * p, instead of being added to the
    gradient as weight_decay * p."""

    def hyperparameters(self) -> dict[str, float]:
        """Return the hyperparameters by name. In timm, eps_root has the value of eps."""
        numbers = super().hyperparameters()
        return {**numbers, "eps_root": self.eps} if self.dialect == "timm" else numbers

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the fields nesterov, amsgrad, rectify and degenerated_to_sgd, which are flags."""
        return {
            "nesterov": self.nesterov,
            "amsgrad": self.amsgrad,
            "rectify": self.rectify,
            "degenerated_to_sgd": self.degenerated_to_sgd,
        }


class AcProp(AdamSpec):
    """
    AdaBelief that divides a gradient by the spread of the gradients before it.

    ::

        p = p - lr * weight_decay * p
        d = sqrt(s / (1 - beta2 ** (t - 1)))           1 in the first update
        p = p - lr * g / (d + eps)
        s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps_root
        m = beta1 * m + (1 - beta1) * g

    m is the running mean of the gradients, and s is the running mean square of g - m.

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
    """Added to s in every update, so that s accumulates eps_root."""
    decoupled_weight_decay: bool = True
    """Whether weight_decay shrinks p, instead of being added to the gradient."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return no flags: optax, the only dialect of acprop, rounds no powers of the betas."""
        return {}
