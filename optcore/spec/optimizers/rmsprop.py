"""RMSprop, in two forms."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.errors import reject
from optcore.spec.layers.base import Shape
from optcore.spec.optimizers.cautious import CautiousSpec


class RmsSpec(CautiousSpec):
    """The base of the two RMSprop optimizers, which may have a velocity."""

    momentum: float
    """Share of the old velocity that is kept; 0 for no velocity."""

    @property
    def has_velocity(self) -> bool:
        """Whether the optimizer has a velocity."""
        # A schedule may raise momentum from 0 later, so the slot exists from the first update.
        return self.momentum > 0 or "momentum" in self.schedules

    @model_validator(mode="after")
    def _caution_needs_a_velocity(self) -> Self:
        if self.cautious and not self.has_velocity:
            text = "cautious must be false if momentum is 0, got true"
            reject(["cautious"], text, True)
        return self

    def state_bytes(self, shape: Shape) -> int:
        """Return the bytes of state for a float32 parameter of *shape*."""
        flags = self.flags(single_precision=True)
        return 4 * (1 + flags["centered"] + flags["velocity"]) * prod(shape)


class RmsProp(RmsSpec):
    """
    Gradient descent with each gradient divided by the running root mean square of the gradients.

    ::

        g = g + weight_decay * p
        h = rho * h + (1 - rho) * g * g         starts at 0; in mindspore, tf1 at 1;
                                                in optax at initial_accumulator_value
        a = rho * a + (1 - rho) * g             if centered; else a = 0

        torch, article, timm                    elsewhere
        d = sqrt(h - a * a) + eps               d = sqrt(h - a * a + eps)
        v = momentum * v + g / d                v = momentum * v + lr * g / d
        p = p - lr * v                          p = p - v

    h and a are the running means of the squared gradients and of the gradients, and v is the
    velocity.

    optax has three options. If eps_inside is false, d has the form on the left. With
    bias_correction, h and a are divided by 1 - rho ** t in d. With nesterov,
    p = p - (momentum * v + lr * g / d).

    References:
        Tieleman and Hinton, Lecture 6.5: RMSProp, 2012.
        Graves, Generating Sequences with Recurrent Neural Networks, 2013 (centered),
        equations 38 to 41. https://arxiv.org/abs/1308.0850
        torch.optim.RMSprop, paddle.optimizer.RMSProp, mindspore.nn.RMSProp,
        keras.optimizers.RMSprop, tf.compat.v1.train.RMSPropOptimizer, optax.rmsprop. timm's rmsprop
        is torch's, with other defaults; its rmsproptf is the optimizer rmsprop_tf.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = (
        "torch",
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "tf1",
        "article",
        "timm",
        "optax",
    )
    # The kernel is Adam's with beta1 = 0. It adds eps to the root, the other dialects under it.
    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset({"torch", "article", "timm"})
    FLOAT32_IN: ClassVar = {
        "paddle": frozenset({"rho", "eps", "momentum"}),  # C++ floats in its kernel
        "paddleocr": frozenset({"rho", "eps", "momentum"}),
    }
    STATE_BYTES: ClassVar[str] = "4; 8 with momentum or centered, 12 with both"
    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"initial_accumulator_value"})

    kind: Literal["rmsprop"]
    # None: Paddle, PaddleOCR's wrapper and TF1 have no default.
    lr: float = per_dialect(
        {
            "torch": 0.01,
            "paddle": None,
            "paddleocr": None,
            "mindspore": 0.1,
            "keras": 1e-3,
            "tf1": None,
            "article": 0.01,
            "timm": 0.01,
            "optax": None,
        },
        gt=0,
    )
    """Learning rate."""
    rho: float = per_dialect(
        {
            "torch": 0.99,
            "paddle": 0.95,
            "paddleocr": 0.95,
            "mindspore": 0.9,
            "keras": 0.9,
            "tf1": 0.9,
            "article": 0.99,
            "timm": 0.9,
            "optax": 0.9,
        },
        ge=0,
        lt=1,
    )
    """Share of the old mean square that is kept (alpha in torch; decay in MindSpore, TF1 and
    optax)."""
    eps: float = per_dialect(
        {
            "torch": 1e-8,
            "paddle": 1e-6,
            "paddleocr": 1e-6,
            "mindspore": 1e-10,
            "keras": 1e-7,
            "tf1": 1e-10,
            "article": 1e-7,
            "timm": 1e-8,
            "optax": 1e-8,
        },
        ge=0,
    )
    """Keeps the denominator away from 0."""
    eps_inside: bool = per_dialect({"optax": True})
    """Whether eps is added under the root (eps_in_sqrt in optax); false to add it to the root."""
    initial_accumulator_value: float = per_dialect({"optax": 0.0}, ge=0)
    """Value of h before the first update (initial_scale in optax)."""
    bias_correction: bool = per_dialect({"optax": False})
    """Whether h and a are divided by 1 - rho ** t (bias correction)."""
    momentum: float = per_dialect(
        {
            "torch": 0.0,
            "paddle": 0.0,
            "paddleocr": 0.0,
            "mindspore": 0.0,
            "keras": 0.0,
            "tf1": 0.0,
            "timm": 0.9,
            "optax": 0.0,
        },
        ge=0,
        le=1,
    )
    """Share of the old velocity that is kept; 0 for no velocity."""
    nesterov: bool = per_dialect({"optax": False})
    """Whether to look ahead: g / d is applied once more, in addition to the new velocity."""
    centered: bool = per_dialect(
        {
            "torch": False,
            "paddle": False,
            "paddleocr": False,
            "mindspore": False,
            "keras": False,
            "tf1": False,
            "timm": False,
            "optax": False,
        }
    )
    """Whether to divide by the standard deviation instead of the root mean square."""

    @model_validator(mode="after")
    def _nesterov_needs_a_velocity(self) -> Self:
        if self.nesterov and not self.has_velocity:
            text = "nesterov must be false if momentum is 0, got true"
            reject(["nesterov"], text, True)
        return self

    def has_kernel(self) -> bool:
        """
        Return whether torch has a fused kernel that computes this spec.

        The kernel is Adam's with a beta1 of 0, so the spec must have neither velocity nor
        centering.
        """
        return super().has_kernel() and not (self.centered or self.has_velocity)

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for the places of eps and lr, the first h, centering and velocity."""
        outside = self.dialect in ("torch", "article", "timm")
        return {
            "eps_inside": self.eps_inside and not outside,
            "lr_inside": not outside,
            "centered": self.centered,
            "velocity": self.has_velocity,
            "from_one": self.dialect in ("mindspore", "tf1"),
            "nesterov": self.nesterov,
            "bias_correction": self.bias_correction,
        }


class RmsPropTf(RmsSpec):
    """
    timm's version of TensorFlow 1's RMSprop, whose mean square starts at 1.

    ::

        g = g + weight_decay * p
        h = rho * h + (1 - rho) * g * g         starts at 1
        a = rho * a + (1 - rho) * g             if centered; else a = 0
        d = sqrt(h - a * a + eps)

        lr_in_momentum true                     lr_in_momentum false
        v = momentum * v + lr * g / d           v = momentum * v + g / d
        p = p - v                               p = p - lr * v

    TF1's own optimizer, with its rounding, is rmsprop in dialect tf1.

    References:
        Tieleman and Hinton, Lecture 6.5: RMSProp, 2012.
        timm 1.0.31: rmsproptf, rmsproptfw, rmsproptfc, crmsproptf.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("timm",)
    STATE_BYTES: ClassVar[str] = "8; 4 without momentum; 4 more with centered"

    kind: Literal["rmsprop_tf"]
    dialect: Dialect = "timm"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(0.01, gt=0)
    """Learning rate."""
    rho: float = Field(0.9, ge=0, lt=1)
    """Share of the old mean square that is kept (timm's alpha)."""
    eps: float = Field(1e-10, ge=0)
    """Keeps the denominator away from 0."""
    momentum: float = Field(0.9, ge=0, le=1)
    """Share of the old velocity that is kept; 0 for no velocity."""
    centered: bool = False
    """Whether to divide by the standard deviation instead of the root mean square."""
    lr_in_momentum: bool = True
    """Whether the velocity contains lr, so that a lower lr affects only new terms in it."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for the place of lr, the first h, centering and velocity."""
        return {
            "eps_inside": True,
            "lr_inside": self.lr_in_momentum,
            "centered": self.centered,
            "velocity": self.has_velocity,
            "from_one": True,
            "nesterov": False,
            "bias_correction": False,
        }
