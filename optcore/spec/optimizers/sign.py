"""Optimizers with steps of one size in every coordinate: signSGD and Signum."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.optimizers.base import OptimizerSpec


class SignSgd(OptimizerSpec):
    """
    Steps of the size lr against the sign of the gradient.

    ::

        g = g + weight_decay * p
        p = p - lr * sign(g)

    References:
        Bernstein et al., signSGD: Compressed Optimisation for Non-Convex Problems, 2018,
        Algorithm 1. https://arxiv.org/abs/1802.04434
        optax.sign_sgd.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax",)
    STATE_BYTES: ClassVar[str] = "0"

    kind: Literal["sign_sgd"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-4, gt=0)
    """Learning rate: the step of every coordinate."""


class Signum(OptimizerSpec):
    """
    Steps of the size lr against the sign of a running mean of the gradients.

    ::

        g = g + weight_decay * p
        m = momentum * m + (1 - momentum) * g
        p = p - lr * sign(m)

    References:
        Bernstein et al., signSGD: Compressed Optimisation for Non-Convex Problems, 2018,
        Algorithm 2. https://arxiv.org/abs/1802.04434
        optax.signum.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax",)
    STATE_BYTES: ClassVar[str] = "4"

    kind: Literal["signum"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-4, gt=0)
    """Learning rate: the step of every coordinate."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Share of the old mean gradient that is kept (beta in optax)."""
