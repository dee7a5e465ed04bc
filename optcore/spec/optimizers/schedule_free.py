"""Schedule-free AdamW and SGD, which average the weights and so need no schedule of lr."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.limits import MAX_COUNT
from optcore.spec.optimizers.adam import AdamSpec
from optcore.spec.optimizers.base import OptimizerSpec


class ScheduleFreeAdamW(AdamSpec):
    """
    AdamW without a schedule of lr: the model is evaluated at an average of the iterates.

    ::

        e = lr * min(1, t / warmup_steps)
        k = t ** r * (largest e so far) ** weight_lr_power
        w = k / (sum of all k so far)
        v = beta2 * v + (1 - beta2) * g * g
        u = g / (sqrt(v / (1 - beta2 ** t)) + eps) + weight_decay * y
        y = (1 - w) * y + w * z - e * (1 - beta1 * (1 - w)) * u
        z = z - e * u
        x = (y - (1 - beta1) * z) / beta1

    Steps are made on z. Gradients are taken at y, which are the parameters. Evaluations and the
    final model use x, the weighted average of all z.

    e is the lr of the update, k is the weight of the new z in the average, and w is the share of k
    in the sum of weights.

    If the weight decay is decoupled, as in keras, it is not part of u: it shrinks y before the
    update.

    In optax, e is lr * min(1, (t - 1) / warmup_steps), and the largest e is that of all updates
    from 1 to t + 1.

    In Keras, w is 1 / t. z is updated first, z = z - e * u, and y is then the average of all z:
    y = (1 - w) * y + w * z. There, gradients are taken close to x.

    References:
        Defazio et al., The Road Less Scheduled, 2024, Algorithm 1.
        https://arxiv.org/abs/2405.15682, https://github.com/facebookresearch/schedule_free
        keras.optimizers.ScheduleFreeAdamW, optax.contrib.schedule_free_adamw.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("article", "keras", "optax")
    BIAS_IN_DOUBLE: ClassVar[frozenset[str]] = frozenset()
    FLOAT32_IN: ClassVar = {"keras": frozenset({"beta1", "beta2", "eps"})}
    KEEPS_WEIGHTS: ClassVar[bool] = True

    kind: Literal["schedule_free_adamw"]
    dialect: Dialect = "article"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(2.5e-3, gt=0)
    """Learning rate, which needs no schedule."""
    # Not 0: x is recovered with a factor of 1 / beta1, which must be finite in float32.
    beta1: float = Field(0.9, ge=1e-30, le=1)
    """Position of y, at which gradients are taken, between z (0) and x (1)."""
    eps: float = Field(1e-8, ge=0)
    """Keeps the denominator away from 0."""
    warmup_steps: int = Field(0, ge=0, le=MAX_COUNT)
    """Number of updates over which lr rises linearly."""
    r: float = per_dialect({"article": 0.0}, ge=0)
    """Exponent of t in the weight k of an update."""
    weight_lr_power: float = per_dialect({"article": 2.0, "optax": 2.0}, ge=0)
    """Exponent of the highest learning rate so far in the weight k of an update."""

    def hyperparameters(self) -> dict[str, float]:
        """Return the hyperparameters by name. In Keras, r and weight_lr_power are 0."""
        numbers = super().hyperparameters()
        # In optax, which has no r, the field holds the article's default 0.
        return {**numbers, "r": 0.0, "weight_lr_power": 0.0} if self.dialect == "keras" else numbers

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for the order of y and z, the warmup, and how powers are rounded."""
        flags = super().flags(single_precision=single_precision)
        flags.pop("eps_hat")
        keras, optax = self.dialect == "keras", self.dialect == "optax"
        return {**flags, "late_z": keras, "late_lr": optax}


class ScheduleFreeSgd(OptimizerSpec):
    """
    Gradient descent without a schedule of lr: the model is evaluated at an average of the iterates.

    ::

        e = lr * min(1, t / warmup_steps)
        k = t ** r * (largest e so far) ** weight_lr_power
        w = k / (sum of all k so far)
        u = g + weight_decay * y
        y = (1 - w) * y + w * z - e * (1 - beta1 * (1 - w)) * u
        z = z - e * u
        x = (y - (1 - beta1) * z) / beta1

    Steps are made on z. Gradients are taken at y, which are the parameters. Evaluations and the
    final model use x, the weighted average of all z.

    e is the lr of the update, k is the weight of the new z in the average, and w is the share of k
    in the sum of weights.

    In optax, e is lr * min(1, (t - 1) / warmup_steps), and the largest e is that of all updates
    from 1 to t + 1.

    References:
        Defazio et al., The Road Less Scheduled, 2024, section 2. https://arxiv.org/abs/2405.15682
        https://github.com/facebookresearch/schedule_free, optax.contrib.schedule_free_sgd.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("article", "optax")
    STATE_BYTES: ClassVar[str] = "4"
    KEEPS_WEIGHTS: ClassVar[bool] = True

    kind: Literal["schedule_free_sgd"]
    dialect: Dialect = "article"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1.0, gt=0)
    """Learning rate, which needs no schedule."""
    # Not 0: x is recovered with a factor of 1 / beta1, which must be finite in float32.
    beta1: float = Field(0.9, ge=1e-30, le=1)
    """Position of y, at which gradients are taken, between z (0) and x (1) (momentum in
    schedulefree)."""
    warmup_steps: int = Field(0, ge=0, le=MAX_COUNT)
    """Number of updates over which lr rises linearly."""
    r: float = per_dialect({"article": 0.0}, ge=0)
    """Exponent of t in the weight k of an update."""
    weight_lr_power: float = Field(2.0, ge=0)
    """Exponent of the highest learning rate so far in the weight k of an update."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flag late_lr: the warmup is one update late, as in optax."""
        return {"late_lr": self.dialect == "optax"}
