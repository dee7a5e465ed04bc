"""Adadelta."""

from __future__ import annotations

from typing import ClassVar, Literal

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.base import OptimizerSpec


class Adadelta(OptimizerSpec):
    """
    RMSprop whose steps are scaled by the root mean square of the steps before.

    ::

        g = g + weight_decay * p
        h = rho * h + (1 - rho) * g * g
        u = g * sqrt(d + eps) / sqrt(h + eps)
        d = rho * d + (1 - rho) * u * u
        p = p - lr * u

    h is the running mean square of the gradients, and d is that of the steps u. So u has the unit
    of p.

    References:
        Zeiler, ADADELTA: An Adaptive Learning Rate Method, 2012, Algorithm 1 (where lr is 1).
        https://arxiv.org/abs/1212.5701
        torch.optim.Adadelta, paddle.optimizer.Adadelta, mindspore.nn.Adadelta,
        keras.optimizers.Adadelta, tf.compat.v1.train.AdadeltaOptimizer, optax.adadelta.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = (
        "torch",
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "tf1",
        "optax",
    )
    FLOAT32_IN: ClassVar = {
        "paddle": frozenset({"rho", "eps"}),  # C++ floats in its kernel
        "paddleocr": frozenset({"rho", "eps"}),
    }

    ELSEWHERE: ClassVar = {"timm": "; timm's adadelta is torch's: use dialect torch"}

    kind: Literal["adadelta"]
    lr: float = per_dialect(
        {
            "torch": 1.0,
            "paddle": 1e-3,
            "paddleocr": 1e-3,
            "mindspore": 1.0,
            "keras": 1e-3,
            "tf1": 1e-3,
            "optax": None,
        },
        gt=0,
    )
    """Learning rate."""
    rho: float = per_dialect(
        {
            "torch": 0.9,
            "paddle": 0.95,
            "paddleocr": 0.95,
            "mindspore": 0.9,
            "keras": 0.95,
            "tf1": 0.95,
            "optax": 0.9,
        },
        ge=0,
        le=1,
    )
    """Share of the old mean squares that is kept."""
    eps: float = per_dialect(
        {
            "torch": 1e-6,
            "paddle": 1e-6,
            "paddleocr": 1e-8,  # its wrapper's own default
            "mindspore": 1e-6,
            "keras": 1e-7,
            "tf1": 1e-8,
            "optax": 1e-6,
        },
        ge=0,
    )
    """Keeps both roots, and so the first step, away from 0."""
