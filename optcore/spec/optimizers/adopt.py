"""The ADOPT optimizer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.adam import AdamSpec
from optcore.spec.optimizers.cautious import CautiousSpec


class Adopt(CautiousSpec, AdamSpec):
    """
    Adam that divides a gradient by the root mean square of earlier gradients before averaging it.

    ::

        u = g / max(sqrt(v), eps)                      with the v of the update before
        u = clamp(u, -c, c)                            if use_clipping; c = (t - 1) ** clip_exponent
        m = beta1 * m + (1 - beta1) * u
        p = p - lr * m                                 nesterov: beta1 * m + (1 - beta1) * u
        v = beta2 * v + (1 - beta2) * g * g

    v is the running mean of the squared gradients. ADOPT converges with any beta2.

    The first update sets v to g * g and makes no step. In timm, it does not decay p either.

    References:
        Taniguchi et al., ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal Rate,
        2024, Algorithm 2. https://arxiv.org/abs/2411.02853
        optax.contrib.adopt; timm 1.0.31: adopt, adoptw, adoptc, cadopt, cadoptw, cadoptc.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax", "timm")

    kind: Literal["adopt"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    beta2: float = Field(0.9999, ge=0, lt=1)
    """Share of the old mean of the squared gradient that is kept."""
    eps: float = Field(1e-6, gt=0)
    """Lower bound of the denominator."""
    use_clipping: bool = True
    """Whether u is limited to c."""
    clip_exponent: float = per_dialect({"optax": 0.25, "timm": 0.333}, ge=0)
    """Exponent of t - 1 in the limit c."""
    nesterov: bool = per_dialect({"optax": False})
    """Whether to look ahead, by mixing u into the mean once more."""

    @property
    def own_decay(self) -> bool:
        """
        Whether the update rule applies the weight decay itself.

        True for a decoupled decay in timm, where the first update must apply no decay.
        """
        return self.decoupled_weight_decay and self.dialect == "timm"

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for the limit c, for looking ahead, and for a cautious step."""
        return {
            "use_clipping": self.use_clipping,
            "nesterov": self.nesterov,
            "cautious": self.cautious,
        }
