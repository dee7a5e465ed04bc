"""Optimizers that average over updates: ASGD averages parameters, SAG averages gradients."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.networks.base import Shape
from optcore.spec.optimizers.base import OptimizerSpec


class Asgd(OptimizerSpec):
    """
    Gradient descent with a falling step size, evaluated on the average a of its iterates.

    ::

        g   = g + weight_decay * p
        eta = lr / (1 + lambd * lr * (t - 1)) ** alpha
        p   = p - eta * (lambd * p + g)
        a   = a + (p - a) / max(1, t - 1 - t0)

    In eta, lr is the learning rate of the previous update (at t = 1, of this update): a schedule
    takes effect one update late, as in torch. Paddle's ASGD is a different optimizer: sag.

    References:
        Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
        torch.optim.ASGD, mindspore.nn.ASGD.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("torch", "mindspore")
    STATE_BYTES: ClassVar[str] = "4"

    kind: Literal["asgd"]
    lr: float = per_dialect({"torch": 0.01, "mindspore": 0.1}, gt=0)
    """Learning rate."""
    lambd: float = Field(1e-4, ge=0)
    """Decay rate of the step size eta, and of the parameters."""
    alpha: float = Field(0.75, ge=0)
    """Exponent in the decay of the step size eta."""
    t0: float = Field(1e6, ge=0)
    """Number of updates before the averaging starts; until then a equals p."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flag in_float32: eta and the weight of p in a are float32 in all dialects."""
        return {"in_float32": True}


class Sag(OptimizerSpec):
    """
    Stochastic average gradient: steps along the mean of the latest gradients of batch_num batches.

    ::

        i = (t - 1) mod batch_num
        d = d - y[i] + g
        y[i] = g
        p = p - lr * d / min(t, batch_num)

    The batches must come in the same order in every epoch. The state holds batch_num gradients.

    References:
        Schmidt, Le Roux and Bach, Minimizing Finite Sums with the Stochastic Average Gradient,
        2017, Algorithm 1. https://arxiv.org/abs/1309.2388
        paddle.optimizer.ASGD.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("paddle", "article")
    STATE_BYTES: ClassVar[str] = "4 * (1 + batch_num)"

    kind: Literal["sag"]
    dialect: Dialect = "paddle"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    # Each batch has a slot as large as the parameters.
    batch_num: int = Field(1, ge=1, le=1000)
    """Number of batches in an epoch."""

    def state_bytes(self, shape: Shape) -> int:
        """Return the bytes of state for a float32 parameter of *shape*."""
        return 4 * (1 + self.batch_num) * prod(shape)
