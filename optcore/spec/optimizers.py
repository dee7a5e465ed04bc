"""
Optimizers: which update rule, in whose dialect, with which hyperparameters.

In the formulas p is a parameter, g its gradient, t = 1 the first update; every operation is
elementwise. A default stands for each dialect in which the hyperparameter exists.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from annotated_types import Gt, Lt
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from optcore.spec.base import Dialect, Spec, dialects_of, per_dialect
from optcore.spec.errors import violated

Engine = Literal["auto", "eager", "fused"]


def float32(number: float) -> float:
    """Return *number* rounded to float32; infinite if it is too large for it."""
    with np.errstate(over="ignore"):
        return float(np.float32(number))


class OptimizerSpec(Spec):
    """What all optimizers share."""

    kind: str
    """Which optimizer."""

    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset()
    """Dialects in which one of torch's fused kernels computes exactly this rule."""
    PADDLE_FLOAT32: ClassVar[frozenset[str]] = frozenset()
    """Hyperparameters that Paddle's kernel keeps in float32 even for float64 tensors."""

    dialect: Dialect = "torch"
    """Whose math, defaults and rounding."""
    engine: Engine = "auto"
    """What computes the update: the rule itself (eager), torch's fused kernel, or the faster."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return what the dialect, and the spec, switch in the rule's math."""
        del single_precision
        return {}

    def hyperparameters(self) -> dict[str, float]:
        """Return the rule's numbers, as given."""
        return {
            name: getattr(self, name)
            for name in type(self).model_fields
            if type(getattr(self, name)) in (int, float)
        }

    def rounded(self, *, single_precision: bool) -> frozenset[str]:
        """
        Return the numbers that the dialect's kernel sees as float32.

        Paddle's kernels take all of them so for float32 tensors, and some of them
        (`PADDLE_FLOAT32`) even for float64 tensors.
        """
        if self.dialect != "paddle":
            return frozenset()
        return frozenset(self.hyperparameters()) if single_precision else self.PADDLE_FLOAT32

    def has_kernel(self) -> bool:
        """Return whether one of torch's fused kernels computes exactly this."""
        return self.dialect in self.FUSED_IN

    def _exists(self, name: str) -> bool:
        defaults = dialects_of(type(self), name)
        return defaults is None or self.dialect in defaults

    @model_validator(mode="after")
    def _fit_the_dialect(self) -> Self:
        for name in self.model_fields_set:
            if not self._exists(name):
                violated(
                    [name],
                    f"{name} does not exist for {self.kind} in dialect {self.dialect}, "
                    f"only in {', '.join(dialects_of(type(self), name) or ())}",
                    getattr(self, name),
                )
        for name in type(self).model_fields:
            if getattr(self, name) is None:
                violated(
                    [name],
                    f"{name} is required: {self.kind} has no default in dialect {self.dialect}",
                    None,
                )
        for name in self.rounded(single_precision=True):
            self._check_rounded(name)
        if self.engine == "fused" and not self.has_kernel():
            violated(
                ["engine"],
                f"engine fused does not exist for {self.kind} in dialect {self.dialect}: torch "
                f"has no such kernel; use auto or eager",
                self.engine,
            )
        return self

    def _check_rounded(self, name: str) -> None:
        """Refuse a number that float32 takes out of its range (0.99999999 becomes 1)."""
        value = getattr(self, name)
        single = float32(value)
        for limit in type(self).model_fields[name].metadata:
            too_high = isinstance(limit, Lt) and not single < limit.lt  # type: ignore[operator]
            too_low = isinstance(limit, Gt) and not single > limit.gt  # type: ignore[operator]
            if too_high or too_low or not math.isfinite(single):
                violated(
                    [name],
                    f"{name} must stay in its range as a float32, which is what {self.dialect} "
                    f"makes of it, got {value} ({single})",
                    value,
                )

    @model_serializer(mode="wrap")
    def _without_what_does_not_exist(self, handler: SerializerFunctionWrapHandler) -> Any:  # noqa: ANN401
        return {name: value for name, value in handler(self).items() if self._exists(name)}


class Sgd(OptimizerSpec):
    """
    Plain gradient descent.

    ::

        g = g + weight_decay * p
        p = p - lr * g

    References:
        Robbins and Monro, A Stochastic Approximation Method, 1951.
        torch.optim.SGD, paddle.optimizer.SGD.
    """

    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset({"torch", "paddle", "article"})

    kind: Literal["sgd"]
    lr: float = per_dialect({"torch": 1e-3, "paddle": 1e-3, "article": 0.01}, gt=0)
    """Learning rate."""
    weight_decay: float = per_dialect({"torch": 0.0, "paddle": 0.0}, ge=0)
    """L2 regularization, added to the gradient."""


class Momentum(OptimizerSpec):
    """
    Gradient descent with a velocity v (the heavy ball).

    ::

        g = g + weight_decay * p

        torch, paddle                          article
        v = momentum * v + (1 - dampening) * g v = momentum * v - lr * g
        p = p - lr * v                         p = p + v

    In torch *dampening* does not act on the first update. With lr inside the velocity (article)
    a change of lr takes effect only as old gradients fade.

    References:
        Polyak, Some Methods of Speeding up the Convergence of Iteration Methods, 1964.
        torch.optim.SGD(momentum=), paddle.optimizer.Momentum.
    """

    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset({"torch", "paddle"})
    PADDLE_FLOAT32: ClassVar[frozenset[str]] = frozenset({"momentum", "weight_decay"})

    kind: Literal["momentum"]
    lr: float = per_dialect({"torch": 1e-3, "paddle": 1e-3, "article": 0.01}, gt=0)
    """Learning rate."""
    momentum: float = per_dialect({"torch": 0.9, "paddle": 0.9, "article": 0.9}, ge=0, lt=1)
    """Share of the old velocity that is kept."""
    dampening: float = per_dialect({"torch": 0.0}, ge=0, le=1)
    """Share of the gradient that is left out of the velocity."""
    weight_decay: float = per_dialect({"torch": 0.0, "paddle": 0.0}, ge=0)
    """L2 regularization, added to the gradient."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return whether lr is inside the velocity."""
        del single_precision
        return {"lr_inside": self.dialect == "article"}


class Nesterov(OptimizerSpec):
    """
    Momentum that looks ahead: the gradient is applied once more on top of the new velocity.

    ::

        g = g + weight_decay * p

        torch, paddle                     article
        v = momentum * v + g              v = momentum * v - lr * g
        p = p - lr * (g + momentum * v)   p = p + momentum ** 2 * v - (1 + momentum) * lr * g

    The article's step puts the new v where Bengio's identity has the old one, so its first step
    is (1 + momentum + momentum ** 2) * lr * g; it is kept as written.

    References:
        Sutskever et al., On the Importance of Initialization and Momentum in Deep Learning,
        2013, equations 3 and 4. https://proceedings.mlr.press/v28/sutskever13.html
        torch.optim.SGD(nesterov=True), paddle.optimizer.Momentum(use_nesterov=True).
    """

    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset({"torch", "paddle"})
    PADDLE_FLOAT32: ClassVar[frozenset[str]] = frozenset({"momentum", "weight_decay"})

    kind: Literal["nesterov"]
    lr: float = per_dialect({"torch": 1e-3, "paddle": 1e-3, "article": 0.01}, gt=0)
    """Learning rate."""
    momentum: float = per_dialect({"torch": 0.9, "paddle": 0.9, "article": 0.9}, ge=0, lt=1)
    """Share of the old velocity that is kept."""
    weight_decay: float = per_dialect({"torch": 0.0, "paddle": 0.0}, ge=0)
    """L2 regularization, added to the gradient."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return whether lr is inside the velocity."""
        del single_precision
        return {"lr_inside": self.dialect == "article"}


class Adagrad(OptimizerSpec):
    """
    A step size per coordinate that shrinks with the gradients seen so far.

    ::

        g = g + weight_decay * p
        h = h + g * g
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(h) + eps)

    References:
        Duchi, Hazan and Singer, Adaptive Subgradient Methods, 2011.
        https://jmlr.org/papers/v12/duchi11a.html
        torch.optim.Adagrad, paddle.optimizer.Adagrad.
    """

    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset({"torch", "paddle", "article"})
    PADDLE_FLOAT32: ClassVar[frozenset[str]] = frozenset({"eps"})

    kind: Literal["adagrad"]
    lr: float = per_dialect({"torch": 0.01, "paddle": None, "article": 0.01}, gt=0)
    """Learning rate."""
    eps: float = per_dialect({"torch": 1e-10, "paddle": 1e-6, "article": 1e-7}, ge=0)
    """Added to the root."""
    lr_decay: float = per_dialect({"torch": 0.0}, ge=0)
    """How fast lr itself falls with t."""
    initial_accumulator_value: float = per_dialect({"torch": 0.0, "paddle": 0.0}, ge=0)
    """h before the first update."""
    weight_decay: float = per_dialect({"torch": 0.0, "paddle": 0.0}, ge=0)
    """L2 regularization, added to the gradient."""


class RmsProp(OptimizerSpec):
    """
    Gradients divided by a running root mean square of themselves.

    ::

        g = g + weight_decay * p
        h = rho * h + (1 - rho) * g * g
        a = rho * a + (1 - rho) * g             centered only, else a = 0

        torch, article                          paddle
        d = sqrt(h - a * a) + eps               d = sqrt(h - a * a + eps)
        v = momentum * v + g / d                v = momentum * v + lr * g / d
        p = p - lr * v                          p = p - v

    References:
        Tieleman and Hinton, Lecture 6.5: RMSProp, 2012.
        Graves, Generating Sequences with Recurrent Neural Networks, 2013 (centered),
        equations 38 to 41. https://arxiv.org/abs/1308.0850
        torch.optim.RMSprop, paddle.optimizer.RMSProp.
    """

    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset({"torch", "article"})
    PADDLE_FLOAT32: ClassVar[frozenset[str]] = frozenset({"rho", "eps", "momentum"})

    kind: Literal["rmsprop"]
    lr: float = per_dialect({"torch": 0.01, "paddle": None, "article": 0.01}, gt=0)
    """Learning rate."""
    rho: float = per_dialect({"torch": 0.99, "paddle": 0.95, "article": 0.99}, ge=0, lt=1)
    """Share of the old mean square that is kept (torch calls it alpha)."""
    eps: float = per_dialect({"torch": 1e-8, "paddle": 1e-6, "article": 1e-7}, ge=0)
    """Keeps the denominator away from 0."""
    momentum: float = per_dialect({"torch": 0.0, "paddle": 0.0}, ge=0, lt=1)
    """Share of the old velocity that is kept; 0 for no velocity."""
    centered: bool = per_dialect({"torch": False, "paddle": False})
    """Divide by the standard deviation instead of the root mean square."""
    weight_decay: float = per_dialect({"torch": 0.0, "paddle": 0.0}, ge=0)
    """L2 regularization, added to the gradient."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return where eps and lr stand, and whether the mean is subtracted."""
        del single_precision
        paddle = self.dialect == "paddle"
        return {"eps_inside": paddle, "lr_inside": paddle, "centered": self.centered}

    def has_kernel(self) -> bool:
        """Return whether it has neither mean nor velocity: then it is Adam without its momentum."""
        return super().has_kernel() and not (self.centered or self.momentum)


class Adam(OptimizerSpec):
    """
    Momentum and RMSprop together, corrected for their start at 0.

    ::

        g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        c1 = 1 - beta1 ** t
        c2 = 1 - beta2 ** t

        torch, paddle                              article
        p = p - lr * (m/c1) / (sqrt(v/c2) + eps)   p = p - lr * sqrt(c2)/c1 * m / (sqrt(v) + eps)

    The article's eps is the paper's "epsilon hat": at t = 1 and beta2 = 0.999 it weighs 31.6
    times as much as torch's. In float32 Paddle keeps beta1 ** t and beta2 ** t as running
    float32 products, which moves a trajectory by 6e-4 within 20 steps.

    References:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, Algorithm 1.
        https://arxiv.org/abs/1412.6980
        torch.optim.Adam, paddle.optimizer.Adam.
    """

    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset({"torch"})

    kind: Literal["adam"]
    lr: float = per_dialect({"torch": 1e-3, "paddle": 1e-3, "article": 1e-3}, gt=0)
    """Learning rate."""
    beta1: float = per_dialect({"torch": 0.9, "paddle": 0.9, "article": 0.9}, ge=0, lt=1)
    """Share of the old mean gradient that is kept."""
    beta2: float = per_dialect({"torch": 0.999, "paddle": 0.999, "article": 0.999}, ge=0, lt=1)
    """Share of the old mean square that is kept."""
    eps: float = per_dialect({"torch": 1e-8, "paddle": 1e-8, "article": 1e-7}, ge=0)
    """Keeps the denominator away from 0."""
    weight_decay: float = per_dialect({"torch": 0.0, "paddle": 0.0}, ge=0)
    """L2 regularization, added to the gradient (not AdamW's decoupled decay)."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return which eps is meant, and how the powers of the betas are computed."""
        return {
            "eps_hat": self.dialect == "article",
            "float32_powers": self.dialect == "paddle" and single_precision,
        }


AnyOptimizer = Annotated[
    Sgd | Momentum | Nesterov | Adagrad | RmsProp | Adam, Field(discriminator="kind")
]
"""One of the optimizers, told apart by `kind`."""

OPTIMIZERS: dict[str, type[OptimizerSpec]] = {
    "adagrad": Adagrad,
    "adam": Adam,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RmsProp,
    "sgd": Sgd,
}
"""Every optimizer by its name."""
