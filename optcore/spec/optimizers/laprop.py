"""The LaProp optimizer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.optimizers.cautious import CautiousSpec


class LaProp(CautiousSpec):
    """
    Momentum of gradients that are first divided by their running root mean square.

    ::

        v = beta2 * v + (1 - beta2) * g * g
        m = beta1 * m + (1 - beta1) * lr * g / (sqrt(v / (1 - beta2 ** t)) + eps)
        M = beta1 * M + (1 - beta1) * lr
        p = p - lr / M * m
        p = p - lr * weight_decay * p

    Each gradient is divided once, before it enters m. In Adam, the current v divides the older
    gradients in m too.

    The factor lr / M corrects m for its start at 0. While lr is constant, it is
    1 / (1 - beta1 ** t).

    References:
        Ziyin, Wang and Ueda, LaProp: Separating Momentum and Adaptivity in Adam, 2020, Algorithm 1.
        https://arxiv.org/abs/2002.04839
        timm 1.0.31: laprop, lapropc, claprop. The authors' own code does not multiply the decay by
        lr.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("timm",)

    kind: Literal["laprop"]
    dialect: Dialect = "timm"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(4e-4, gt=0)
    """Learning rate."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Share of the old momentum m that is kept."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Share of the old mean of the squared gradient that is kept."""
    eps: float = Field(1e-15, ge=0)
    """Keeps the denominator away from 0."""
    decoupled_weight_decay: Literal[True] = True
    """Always true for this optimizer."""

    @property
    def own_decay(self) -> bool:
        """Always true: the update rule applies the weight decay itself, after the step."""
        return True

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flag for a cautious step."""
        return {"cautious": self.cautious}
