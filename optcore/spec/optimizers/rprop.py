"""The Rprop optimizer."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.errors import reject
from optcore.spec.optimizers.base import OptimizerSpec


class Rprop(OptimizerSpec):
    """
    Steps whose size in a coordinate depends only on whether the gradient changed its sign.

    ::

        s = lr of the first update                     at the start
        s = clamp(s * eta_plus,  step_min, step_max)   if g has the sign of the previous g
        s = clamp(s * eta_minus, step_min, step_max)   if the signs differ; g then counts as 0
        p = p - s * sign(g)

    s is the step size of each coordinate. Rprop is suitable for gradients of the whole dataset,
    since gradients of small batches change sign by chance.

    References:
        Riedmiller and Braun, A Direct Adaptive Method for Faster Backpropagation Learning: The
        RPROP Algorithm, 1993. torch.optim.Rprop, paddle.optimizer.Rprop, mindspore.nn.Rprop,
        optax.rprop. (optax itself takes each step one update late, and no step in the first update.
        Dialect optax follows the paper that optax's documentation names.)
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("torch", "paddle", "mindspore", "optax")

    kind: Literal["rprop"]
    lr: float = per_dialect({"torch": 0.01, "paddle": 1e-3, "mindspore": 0.1, "optax": None}, gt=0)
    """First step size of every coordinate; with a schedule, the value of lr in the first update."""
    eta_minus: float = Field(0.5, gt=0, lt=1)
    """Factor that multiplies the step size when the sign changed."""
    eta_plus: float = Field(1.2, gt=1)
    """Factor that multiplies the step size when the sign did not change."""
    step_min: float = per_dialect(
        {"torch": 1e-6, "paddle": 1e-5, "mindspore": 1e-6, "optax": 1e-6}, ge=0
    )
    """Smallest step size."""
    step_max: float = Field(50.0, gt=0)
    """Largest step size."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.step_min > self.step_max:
            reject(
                ["step_min"],
                f"step_min must be at most step_max ({self.step_max}), got {self.step_min}",
                self.step_min,
            )
        return self
