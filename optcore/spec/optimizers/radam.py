"""RAdam: Adam that rectifies the variance of its first steps."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.adam import AdamSpec
from optcore.spec.optimizers.cautious import CautiousSpec


class RAdam(CautiousSpec, AdamSpec):
    """
    Adam that begins as plain momentum, until the mean of the squared gradients is reliable.

    ::

        g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        c1 = 1 - beta1 ** t
        c2 = 1 - beta2 ** t
        R = 2 / (1 - beta2) - 1
        r = R - 2 * t * beta2 ** t / c2

        r > 5:  p = p - lr * m/c1 * sqrt(c2) / (sqrt(v) + eps)
                      * sqrt((r - 4) * (r - 2) * R / ((R - 4) * (R - 2) * r))
        else:   p = p - lr * m/c1

    r is the effective number of gradients in the mean v at update t, and R is its limit.

    In optax, the condition is r >= threshold, and 1 / (sqrt(v/c2 + eps_root) + eps) takes the place
    of sqrt(c2) / (sqrt(v) + eps).

    References:
        Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, 2020, Algorithm 2.
        https://arxiv.org/abs/1908.03265
        torch.optim.RAdam, paddle.optimizer.RAdam, optax.radam.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("torch", "paddle", "optax")
    ELSEWHERE: ClassVar = {
        "timm": "; timm's radam and radamw (with decoupled_weight_decay) are torch's"
    }
    FLOAT32_IN: ClassVar = {"paddle": frozenset({"beta1", "beta2", "eps"})}
    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"eps_root", "threshold"})

    kind: Literal["radam"]
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    eps: float = Field(1e-8, ge=0)
    """Keeps the denominator away from 0."""
    eps_root: float = per_dialect({"optax": 0.0}, ge=0)
    """Added under the root, to keep the mean square away from 0."""
    threshold: float = per_dialect({"optax": 5.0}, ge=4)
    """Smallest r at which the step is divided by the root mean square."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for the rounding of powers and for the place of eps."""
        flags = super().flags(single_precision=single_precision)
        flags = {name: flag for name, flag in flags.items() if name != "eps_hat"}
        return {
            **flags,
            "eps_corrected": self.dialect == "optax",
            "single_precision": single_precision,
        }
