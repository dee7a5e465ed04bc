"""The Fromage optimizer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.optimizers.base import OptimizerSpec


class Fromage(OptimizerSpec):
    """
    Steps whose norm is, for each parameter tensor, lr times the norm of the tensor.

    ::

        g = g + weight_decay * p
        r = norm(p) / norm(g)                          both norms at least min_norm
        p = (p - lr * r * g) / sqrt(1 + lr ** 2)

    References:
        Bernstein et al., On the Distance between Two Neural Networks and the Stability of Learning,
        2020, Algorithm 1. https://arxiv.org/abs/2002.03432
        optax.fromage.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("optax",)
    STATE_BYTES: ClassVar[str] = "0"

    kind: Literal["fromage"]
    dialect: Dialect = "optax"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(0.01, gt=0)
    """Learning rate: the size of a step, as a share of the norm of the parameter."""
    min_norm: float = Field(1e-6, ge=0)
    """Lower limit on both norms, so that a parameter of zeros moves too."""
