"""Optimistic gradient descent."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.optimizers.base import OptimizerSpec


class OptimisticGradientDescent(OptimizerSpec):
    """
    Gradient descent that takes the last gradient as the prediction of the next.

    ::

        g = g + weight_decay * p
        p = p - lr * ((alpha + beta) * g - beta * previous g)

    In the first update the previous g is g.

    References:
        Mokhtari, Ozdaglar and Pattathil, A Unified Analysis of Extra-gradient and Optimistic
        Gradient Methods for Saddle Point Problems, 2020. https://arxiv.org/abs/1901.08511
        optax.optimistic_gradient_descent.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax",)
    STATE_BYTES: ClassVar[str] = "4"

    kind: Literal["optimistic_gradient_descent"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(0.01, gt=0)
    """Learning rate."""
    alpha: float = Field(1.0, ge=0)
    """Weight of the gradient."""
    beta: float = Field(1.0, ge=0)
    """Weight of the difference from the previous gradient."""
