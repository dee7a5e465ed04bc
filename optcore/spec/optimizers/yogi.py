"""The Yogi optimizer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.optimizers.adam import AdamSpec


class Yogi(AdamSpec):
    """
    Adam whose mean square moves towards each squared gradient in steps of limited size.

    ::

        g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = v - (1 - beta2) * sign(v - g * g) * g * g
        p = p - lr * m / (1 - beta1 ** t) / (sqrt(v / (1 - beta2 ** t)) + eps)

    Both m and v start at initial_accumulator_value.

    References:
        Zaheer et al., Adaptive Methods for Nonconvex Optimization, 2018, Algorithm 2.
        https://proceedings.neurips.cc/paper/2018/hash/90365351ccc7437a1309dc64e4db32a3-Abstract.html
        optax.yogi.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax",)

    kind: Literal["yogi"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(0.01, gt=0)
    """Learning rate."""
    eps: float = Field(1e-3, ge=0)
    """Keeps the denominator away from 0."""
    initial_accumulator_value: float = Field(1e-6, ge=0)
    """Value of m and v before the first update."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return no flags: optax, the only dialect of yogi, rounds no powers of the betas."""
        return {}
