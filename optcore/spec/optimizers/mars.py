"""The MARS optimizer."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.layers.base import Shape
from optcore.spec.optimizers.cautious import CautiousSpec

SHARED_WITH_ADAMW = (
    "dialect",
    "engine",
    "lr",
    "eps",
    "weight_decay",
    "corrected_weight_decay",
    "cautious",
    "l1",
    "l2",
    "maximize",
    "grad_centralization",
    "clip",
    "multi_precision",
)
"""Fields of mars that also apply to the AdamW that trains parameters with one dimension."""
BETAS_1D = {"beta1_1d": "beta1", "beta2_1d": "beta2"}
"""Maps a field of mars to the field of that AdamW for which it gives the value."""


class Mars(CautiousSpec):
    """
    Adam or Lion on gradients that are corrected by how they have changed since the last update.

    ::

        c = g + gamma * beta1 / (1 - beta1) * (g - g of the last update)    first update: c = g
        c = c / max(1, norm(c))
        m = beta1 * m + (1 - beta1) * c

        adamw    v = beta2 * v + (1 - beta2) * c * c
                 u = m/(1 - beta1 ** t) / (sqrt(v/(1 - beta2 ** t)) + eps)
        lion     u = sign(m)

        p = p - lr * (u + weight_decay * p)

    c is the corrected gradient, m is the running mean of c, and v is that of c * c.

    AdamW trains the parameters with one dimension or none. If optimize_1d is true, MARS trains
    these too.

    If cautious is true, coordinates whose step and gradient have different signs do not move. For
    adamw, the step of the others is divided by the share of coordinates that move; for lion it is
    not, so that each of them moves by lr.

    References:
        Yuan et al., MARS: Unleashing the Power of Variance Reduction for Training Large Models,
        2024, Algorithms 2 and 3. https://arxiv.org/abs/2411.10438
        timm 1.0.31: mars, cmars.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("timm",)
    STATE_BYTES: ClassVar[str] = "12; 8 for lion, and for parameters that AdamW trains"

    kind: Literal["mars"]
    dialect: Dialect = "timm"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(3e-3, gt=0)
    """Learning rate."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Share of the old mean of the corrected gradient that is kept."""
    beta2: float = Field(0.99, ge=0, lt=1)
    """Share of the old mean of the squared corrected gradient that is kept."""
    eps: float = Field(1e-8, ge=0)
    """Keeps the denominator away from 0."""
    gamma: float = Field(0.025, ge=0)
    """Weight of the change of the gradient in the correction; 0 for no correction."""
    mars_type: Literal["adamw", "lion"] = "adamw"
    """How a step is computed from the corrected gradients (u above)."""
    optimize_1d: bool = False
    """Whether parameters with one dimension or none are also trained by MARS, instead of AdamW."""
    lr_1d_scale: float = Field(1.0, gt=0)
    """AdamW's lr, as a multiple of lr (timm's lr_1d_factor)."""
    beta1_1d: float = Field(default_factory=lambda data: data.get("beta1", 0.9), ge=0, lt=1)
    """AdamW's beta1; by default beta1."""
    beta2_1d: float = Field(default_factory=lambda data: data.get("beta2", 0.99), ge=0, lt=1)
    """AdamW's beta2; by default beta2."""
    decoupled_weight_decay: Literal[True] = True
    """Always true for this optimizer."""

    def hyperparameters(self) -> dict[str, float]:
        """Return the hyperparameters of the update rule, by name."""
        numbers = super().hyperparameters()
        return {name: numbers[name] for name in numbers if "_1d" not in name}

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """
        Return the flags as_lion and unscaled_mask, both true for mars_type lion.

        With as_lion, the step is a sign. With unscaled_mask, the mask of cautious sets elements of
        the step to 0, and does not scale the other elements.
        """
        lion = self.mars_type == "lion"
        return {"as_lion": lion, "unscaled_mask": lion}

    def adamw(self) -> dict[str, Any]:
        """
        Return the data of the AdamW spec for the parameters with one dimension or none.

        The caller must multiply the lr in the data by lr_1d_scale, at every step of a schedule.
        """
        return {
            "kind": "adamw",
            **{name: getattr(self, name) for name in SHARED_WITH_ADAMW},
            **{theirs: getattr(self, name) for name, theirs in BETAS_1D.items()},
            "schedules": {n: s for n, s in self.schedules.items() if n in SHARED_WITH_ADAMW},
        }

    def state_bytes(self, shape: Shape) -> int:
        """Return the bytes of state for a float32 parameter of *shape*."""
        return (8 if self.flags(single_precision=True)["as_lion"] else 12) * prod(shape)
