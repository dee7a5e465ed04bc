"""NAdam: Adam with Nesterov's momentum."""

from __future__ import annotations

from typing import ClassVar, Literal

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.adam import AdamSpec
from optcore.spec.optimizers.cautious import CautiousSpec


class NAdam(CautiousSpec, AdamSpec):
    """
    Adam with Nesterov's momentum, whose share of the old momentum rises over the first updates.

    ::

        g  = g + weight_decay * p
        m  = beta1 * m + (1 - beta1) * g
        v  = beta2 * v + (1 - beta2) * g * g
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))         for this update
        nu = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))   for the next update
        M  = product of mu over all updates so far
        n  = nu * m / (1 - M * nu) + (1 - mu) * g / (1 - M)
        p  = p - lr * n / (sqrt(v / (1 - beta2 ** t)) + eps)

    Keras has no field momentum_decay: there its value is always 1. In optax, mu and nu are beta1 in
    all updates, and eps_root is added under the root.

    References:
        Dozat, Incorporating Nesterov Momentum into Adam, 2016, Algorithm 2.
        https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ
        torch.optim.NAdam, paddle.optimizer.NAdam, keras.optimizers.Nadam, optax.nadam;
        optax.nadamw (decoupled_weight_decay, weight_decay 1e-4).
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("torch", "paddle", "keras", "optax")
    ELSEWHERE: ClassVar = {
        "timm": "; timm's nadam is torch's: use dialect torch; its nadamw is adamw with nesterov"
    }
    BIAS_IN_DOUBLE: ClassVar[frozenset[str]] = frozenset({"beta1", "eps"})
    FLOAT32_IN: ClassVar = {
        "paddle": frozenset({"beta1", "beta2", "eps", "momentum_decay"}),  # C++ floats there
        "keras": frozenset({"beta2"}),
    }
    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"eps_root"})

    kind: Literal["nadam"]
    lr: float = per_dialect({"torch": 2e-3, "paddle": 2e-3, "keras": 1e-3, "optax": None}, gt=0)
    """Learning rate."""
    eps: float = per_dialect({"torch": 1e-8, "paddle": 1e-8, "keras": 1e-7, "optax": 1e-8}, ge=0)
    """Keeps the denominator away from 0."""
    eps_root: float = per_dialect({"optax": 0.0}, ge=0)
    """Added under the root, to keep the mean square away from 0."""
    momentum_decay: float = per_dialect({"torch": 4e-3, "paddle": 4e-3}, ge=0)
    """Rate at which mu rises."""

    def hyperparameters(self) -> dict[str, float]:
        """Return the hyperparameters by name. In dialect keras, ``momentum_decay`` is always 1."""
        numbers = super().hyperparameters()
        return {**numbers, "momentum_decay": 1.0} if self.dialect == "keras" else numbers

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for a constant mu, and for how products and powers are rounded."""
        flags = super().flags(single_precision=single_precision)
        return {
            **{name: flag for name, flag in flags.items() if name != "eps_hat"},
            # torch keeps mu_product as a float32 tensor, for parameters of any dtype.
            "float32_mu": self.dialect != "optax" and (self.dialect == "torch" or single_precision),
            "float32_constants": self.dialect == "keras",
            "constant_mu": self.dialect == "optax",
        }
