"""Gradient descent: plain, with momentum, and with Nesterov's momentum."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.cautious import CautiousSpec
from optcore.spec.optimizers.rounded import float32

# All but paddleocr: PaddleOCR wraps neither plain SGD nor Nesterov's momentum.
EVERYWHERE: tuple[Dialect, ...] = (
    "torch",
    "paddle",
    "mindspore",
    "keras",
    "tf1",
    "article",
    "optax",
)


class Sgd(OptimizerSpec):
    """
    Plain gradient descent.

    ::

        g = g + weight_decay * p
        p = p - lr * g

    References:
        Robbins and Monro, A Stochastic Approximation Method, 1951.
        torch.optim.SGD, paddle.optimizer.SGD, mindspore.nn.SGD, keras.optimizers.SGD,
        tf.compat.v1.train.GradientDescentOptimizer, optax.sgd.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = EVERYWHERE
    ELSEWHERE: ClassVar = {"timm": "; timm's sgd is nesterov here, in dialect torch"}
    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset(EVERYWHERE)
    STATE_BYTES: ClassVar[str] = "0"

    kind: Literal["sgd"]
    lr: float = per_dialect(
        {
            "torch": 1e-3,
            "paddle": 1e-3,
            "mindspore": 0.1,
            "keras": 0.01,
            "tf1": None,
            "article": 0.01,
            "optax": None,
        },
        gt=0,
    )
    """Learning rate."""


class Momentum(CautiousSpec):
    """
    Gradient descent with a velocity, the decaying sum of gradients (the heavy ball method).

    ::

        g = g + weight_decay * p

        keras, article                  elsewhere
        v = momentum * v - lr * g       v = momentum * v + (1 - dampening) * g
        p = p + v                       p = p - lr * v

    On the left, lr multiplies the gradients. On the right, it multiplies the velocity. So without
    dampening, the two formulas have different results only after lr has changed. The first update
    has no dampening: v is g.

    References:
        Polyak, Some Methods of Speeding up the Convergence of Iteration Methods, 1964.
        torch.optim.SGD(momentum=), paddle.optimizer.Momentum, mindspore.nn.Momentum and
        nn.SGD(momentum=), keras.optimizers.SGD(momentum=), tf.compat.v1.train.MomentumOptimizer,
        optax.sgd(momentum=).
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = (
        "torch",
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "tf1",
        "article",
        "optax",
    )
    ELSEWHERE: ClassVar = {
        "timm": "; timm's momentum is torch's, and its sgd is nesterov here: use dialect torch"
    }
    # torch's kernel multiplies the velocity by lr; in Keras and the article the velocity contains
    # lr.
    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset(
        {"torch", "paddle", "paddleocr", "mindspore", "tf1", "optax"}
    )
    FLOAT32_IN: ClassVar = {
        "paddle": frozenset({"momentum", "weight_decay"}),  # C++ floats in its kernel
        "paddleocr": frozenset({"momentum", "weight_decay"}),
        "keras": frozenset({"momentum"}),
    }
    STATE_BYTES: ClassVar[str] = "4"

    kind: Literal["momentum"]
    # None: PaddleOCR's wrapper, MindSpore's nn.Momentum and TF1 have no default.
    lr: float = per_dialect(
        {
            "torch": 1e-3,
            "paddle": 1e-3,
            "paddleocr": None,
            "mindspore": None,
            "keras": 0.01,
            "tf1": None,
            "article": 0.01,
            "optax": None,
        },
        gt=0,
    )
    """Learning rate."""
    # 0.9 is Paddle's default; 0, which torch and Keras have, is the optimizer `sgd` here. 1 is
    # allowed, as in torch, Keras and MindSpore.
    momentum: float = Field(0.9, ge=0, le=1)
    """Share of the old velocity that is kept."""
    # In MindSpore, nn.SGD has dampening, nn.Momentum does not.
    dampening: float = per_dialect({"torch": 0.0, "mindspore": 0.0}, ge=0, le=1)
    """Share of the gradient that is left out of the velocity."""

    def has_kernel(self) -> bool:
        """Return whether torch's fused kernel computes this spec; false if momentum may be 0."""
        # As a float32: dialects that round turn 5e-324 into 0.
        always = float32(self.momentum) > 0 and "momentum" not in self.schedules
        return super().has_kernel() and always

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flag for a velocity that contains lr."""
        return {"lr_inside": self.dialect in ("article", "keras")}


class Nesterov(CautiousSpec):
    """
    Momentum that looks ahead: the gradient is applied once more, in addition to the new velocity.

    ::

        g = g + weight_decay * p

        elsewhere                         keras                          article
        v = momentum * v + g              v = momentum * v - lr * g      v = momentum * v - lr * g
        p = p - lr * (g + momentum * v)   p = p + momentum * v - lr * g  p = p + momentum ** 2 * v
                                                                         - (1 + momentum) * lr * g

    Dialect article computes the formula as the article has it. There the new v stands where the
    original formula (Bengio's) has the old v, so the first step is
    (1 + momentum + momentum ** 2) * lr * g.

    MindSpore's nn.Momentum ignores use_nesterov on a CPU. This optimizer follows MindSpore's
    documentation instead.

    References:
        Sutskever et al., On the Importance of Initialization and Momentum in Deep Learning,
        2013, equations 3 and 4. https://proceedings.mlr.press/v28/sutskever13.html
        torch.optim.SGD(nesterov=True), paddle.optimizer.Momentum(use_nesterov=True),
        mindspore.nn.SGD(nesterov=True), keras.optimizers.SGD(nesterov=True),
        tf.compat.v1.train.MomentumOptimizer(use_nesterov=True),
        optax.sgd(momentum=, nesterov=True).
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = EVERYWHERE
    ELSEWHERE: ClassVar = {
        "timm": "; timm's sgd, nesterov and sgdw (with decoupled_weight_decay) are torch's nesterov"
    }
    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset(
        {"torch", "paddle", "mindspore", "tf1", "optax"}
    )
    FLOAT32_IN: ClassVar = {
        "paddle": frozenset({"momentum", "weight_decay"}),
        "keras": frozenset({"momentum"}),
    }
    STATE_BYTES: ClassVar[str] = "4"

    kind: Literal["nesterov"]
    # MindSpore's default is that of nn.SGD: nn.Momentum has no default.
    lr: float = per_dialect(
        {
            "torch": 1e-3,
            "paddle": 1e-3,
            "mindspore": 0.1,
            "keras": 0.01,
            "tf1": None,
            "article": 0.01,
            "optax": None,
        },
        gt=0,
    )
    """Learning rate."""
    momentum: float = Field(0.9, ge=0, le=1)
    """Share of the old velocity that is kept."""

    def has_kernel(self) -> bool:
        """Return whether torch's fused kernel computes this spec; false if momentum may be 0."""
        always = float32(self.momentum) > 0 and "momentum" not in self.schedules
        return super().has_kernel() and always

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for a velocity that contains lr and for the article's formula."""
        return {
            "lr_inside": self.dialect in ("article", "keras"),
            "as_written": self.dialect == "article",
        }
