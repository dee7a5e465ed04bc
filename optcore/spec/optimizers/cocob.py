"""The COCOB optimizer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.optimizers.base import OptimizerSpec


class Cocob(OptimizerSpec):
    """
    Coin betting, without a learning rate: each coordinate bets a share of what it has won.

    ::

        g = lr * (g + weight_decay * p)
        L = max(L, |g|)                                starts at initial_scale
        A = A + |g|
        R = max(R - g * (p - x0), 0)                   x0: p before the first update
        S = S - g
        p = x0 + S / (L * max(A + L, alpha * L)) * (L + R)

    L is the largest absolute gradient so far, A is the sum of absolute gradients, R is the reward
    (what has been won), and S is the negative sum of gradients.

    lr only scales the gradients. Steps do not depend on the scale of the gradients, apart from the
    effect of initial_scale.

    References:
        Orabona and Tommasi, Training Deep Networks without Learning Rates Through Coin Betting,
        2017, Algorithm 2. https://arxiv.org/abs/1705.07795
        optax.contrib.cocob.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax",)
    STATE_BYTES: ClassVar[str] = "20"
    KEEPS_WEIGHTS: ClassVar[bool] = True

    kind: Literal["cocob"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1.0, gt=0)
    """Factor that multiplies the gradient."""
    alpha: float = Field(100.0, gt=0)
    """Limits the first bets to 1 / alpha of the scale L."""
    initial_scale: float = Field(1e-8, gt=0)
    """Value of L before the first update (eps in optax)."""
