"""Adamax: Adam with the largest gradient in place of the mean square."""

from __future__ import annotations

from typing import ClassVar, Literal

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.adam import AdamSpec
from optcore.spec.optimizers.cautious import CautiousSpec


class Adamax(CautiousSpec, AdamSpec):
    """
    Adam with a decaying maximum of the gradients in place of the root mean square.

    ::

        g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g

        torch, optax           u = max(beta2 * u, |g| + eps)   d = u
        paddle                 u = max(beta2 * u + eps, |g|)   d = u
        mindspore, keras       u = max(beta2 * u, |g|)         d = u + eps

        p = p - lr / (1 - beta1 ** t) * m / d

    References:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, Algorithm 2.
        https://arxiv.org/abs/1412.6980
        torch.optim.Adamax, paddle.optimizer.Adamax, mindspore.nn.AdaMax, keras.optimizers.Adamax,
        optax.adamax; optax.adamaxw (decoupled_weight_decay, weight_decay 1e-4).
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("torch", "paddle", "mindspore", "keras", "optax")
    ELSEWHERE: ClassVar = {"timm": "; timm's adamax is torch's: use dialect torch"}
    # Paddle's kernel takes the betas as C++ floats too, but their powers begin as doubles, so the
    # rule rounds them (`kernel_in_float32`).
    FLOAT32_IN: ClassVar = {"paddle": frozenset({"eps"})}

    kind: Literal["adamax"]
    lr: float = per_dialect(
        {"torch": 2e-3, "paddle": 1e-3, "mindspore": 1e-3, "keras": 1e-3, "optax": None}, gt=0
    )
    """Learning rate."""
    eps: float = per_dialect(
        {"torch": 1e-8, "paddle": 1e-8, "mindspore": 1e-8, "keras": 1e-7, "optax": 1e-8}, ge=0
    )
    """Keeps the denominator away from 0."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for the place of eps, and for how powers of beta1 are rounded."""
        flags = super().flags(single_precision=single_precision)
        del flags["eps_hat"]
        return {
            **flags,
            "eps_on_gradient": self.dialect in ("torch", "optax"),
            "eps_on_maximum": self.paddle,
            "kernel_in_float32": self.paddle,
        }
