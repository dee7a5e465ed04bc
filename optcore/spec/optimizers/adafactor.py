"""Adafactor, which treats a parameter as a matrix."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.errors import reject
from optcore.spec.layers.base import Shape
from optcore.spec.limits import MAX_COUNT
from optcore.spec.optimizers.base import OptimizerSpec


class Adafactor(OptimizerSpec):
    """
    Adam that keeps the mean square as one number per row (R) and one per column (C) of a matrix.

    ::

        b = 1 - t ** beta2_decay                  beta2_decay is 0 or less
        R = b * R + (1 - b) * mean(g * g, over columns)
        C = b * C + (1 - b) * mean(g * g, over rows)
        V = R * C / mean(R)                       for a vector, V is kept whole
        u = g / sqrt(V)
        u = u / max(1, rms(u) / clip_threshold)
        a = lr * max(eps2, rms(p))                a = lr if scale_parameter is false
        p = p - a * u

    rms is the root mean square over the tensor. If a parameter has more than two dimensions, the
    last two are its rows and columns. The dialects differ as follows.

    torch: lr is at most 1/sqrt(t). The decay is lr * weight_decay * p, without this limit on lr.
    sqrt(V) and mean(R) are at least eps1.

    keras: as torch, but eps1 is added to g * g, and the decay comes before the step.

    mindspore, transformers: with relative_step, lr is min(0.01, 1/sqrt(t)). With warmup_init, the
    lr of relative_step is min(1e-6 * t, 1/sqrt(t)). eps1 is added to g * g. If beta1 is above 0, p
    moves by a running mean of the steps a * u. The decay is a * weight_decay * p.

    optax: eps1 is added to g * g. In b, t - decay_offset takes the place of t. If beta1 is above 0,
    p moves by a running mean of the steps a * u. The decay is weight_decay * p. The two largest
    dimensions are the rows and columns. If one of the two is smaller than factored_from, V is kept
    whole. The learning_rate None of optax is an lr of 1.

    References:
        Shazeer and Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, 2018,
        Algorithms 4 and 5. https://arxiv.org/abs/1804.04235
        torch.optim.Adafactor, mindspore.nn.AdaFactor, keras.optimizers.Adafactor,
        transformers.Adafactor, optax.adafactor.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = (
        "torch",
        "mindspore",
        "keras",
        "transformers",
        "optax",
    )
    FLOAT32_IN: ClassVar = {"keras": frozenset({"eps2"})}
    STATE_BYTES: ClassVar[str] = "about 0 for a matrix (n x m: 4 * (n + m) in all); 4 for a vector"
    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"decay_offset", "factored_from"})

    kind: Literal["adafactor"]
    lr: float = per_dialect(
        {"torch": 0.01, "mindspore": 0.01, "keras": 1e-3, "transformers": 1e-3, "optax": 1.0}, gt=0
    )
    """Learning rate; in mindspore and transformers it is used only if relative_step is false."""
    beta2_decay: float = Field(-0.8, le=0)
    """Exponent of t in the share of a new squared gradient (transformers' decay_rate; minus the
    decay_rate of MindSpore and optax)."""
    decay_offset: int = per_dialect({"optax": 0}, ge=-MAX_COUNT, le=0)
    """Number subtracted from t in the formula of b (optax's step_offset). It is -n in a run that
    continues from update n."""
    decoupled_weight_decay: Literal[True] = True
    """Always true for this optimizer."""
    # 0 where torch has None, since hyperparameters are numbers, which may be rounded and scheduled.
    eps1: float = per_dialect(
        {"torch": 0.0, "mindspore": 1e-30, "keras": 1e-30, "transformers": 1e-30, "optax": 1e-30},
        ge=0,
    )
    """Keeps the mean squares away from 0; in torch, 0 stands for the dtype's machine epsilon."""
    eps2: float = Field(1e-3, ge=0)
    """Lower limit on the root mean square of a parameter, where it scales lr."""
    clip_threshold: float = Field(1.0, gt=0)
    """Largest root mean square of a step (torch calls it d)."""
    beta1: float = per_dialect({"mindspore": 0.9, "transformers": 0.0, "optax": 0.0}, ge=0, lt=1)
    """Share of the old mean of the steps that is kept (momentum in optax); 0 for no mean."""
    scale_parameter: bool = per_dialect({"mindspore": True, "transformers": True, "optax": True})
    """Whether lr is multiplied by the root mean square of the parameter."""
    relative_step: bool = per_dialect({"mindspore": True, "keras": True, "transformers": True})
    """Whether lr falls with t without a schedule; in keras it always does."""
    warmup_init: bool = per_dialect({"mindspore": False, "transformers": False})
    """Whether the lr of relative_step begins at 1e-6 and rises linearly."""
    factored_from: int = per_dialect({"optax": 128}, ge=1, le=MAX_COUNT)
    """A parameter has row and column means if its second largest dimension has at least this size
    (optax's min_dim_size_to_factor)."""

    @model_validator(mode="after")
    def _warmup_needs_relative_steps(self) -> Self:
        if self.warmup_init and not self.relative_step:
            reject(
                ["warmup_init"],
                "warmup_init must be false without relative_step, got true",
                True,
            )
        return self

    @property
    def own_decay(self) -> bool:
        """
        Whether the update rule applies the weight decay itself.

        False in Keras, where the weight decay comes before the update rule.
        """
        return self.dialect != "keras"

    def hyperparameters(self) -> dict[str, float]:
        """Return the hyperparameters by name. In a dialect without the field beta1, beta1 is 0."""
        numbers = super().hyperparameters()
        # In such a dialect the field holds MindSpore's 0.9, the first default (`per_dialect`).
        return numbers if self.has_field("beta1") else {**numbers, "beta1": 0.0}

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags that select the dialect's formulas for lr, eps1, steps and decay."""
        alike = self.dialect in ("mindspore", "transformers")
        optax = self.dialect == "optax"
        return {
            "single_precision": single_precision,
            "eps1_on_square": self.dialect != "torch",
            "eps1_of_dtype": not self.eps1 and self.dialect == "torch",
            # Keras limits lr by 1/sqrt(t) even if relative_step is false, so its relative_step has
            # no effect.
            "falls_with_t": self.dialect in ("torch", "keras"),
            "relative_step": alike and self.relative_step,
            "warmup_init": self.warmup_init,
            "scale_parameter": self.scale_parameter,
            "scaled_decay": alike,
            "decay_without_lr": optax,
            "float32_share": self.dialect in ("mindspore", "optax"),
            "largest_dimensions": optax,
            # A schedule may raise beta1 from 0 later, so the slot exists from the first update.
            "momentum": (self.beta1 > 0 or "beta1" in self.schedules) and (alike or optax),
        }

    def state_bytes(self, shape: Shape) -> int:
        """Return the bytes of state for a float32 parameter of *shape*."""
        momentum = 4 * prod(shape) if self.flags(single_precision=True)["momentum"] else 0
        # The dimensions that are factored: the last two, or in optax the two largest.
        optax = self.dialect == "optax"
        last = sorted(shape)[-2:] if optax else list(shape[-2:])
        if len(shape) <= 1 or (optax and last[0] < self.factored_from):
            return momentum + 4 * prod(shape)
        return momentum + sum(4 * prod(shape) // size for size in last)
