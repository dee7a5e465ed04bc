"""Copies of the trained weights: their moving average, and the slow weights of lookahead."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from optcore.spec.base import Spec
from optcore.spec.errors import TAG, reject
from optcore.spec.limits import MAX_COUNT


class ShadowEma(Spec):
    """
    An exponential moving average e of weights and BatchNorm statistics w.

    The average is evaluated and saved in addition to w, and does not affect the training. If
    parameters are narrower than float32, w are the values that the network computes with, not
    their float32 copies.

    ::

        e = w                            before the first update
        e = d * e + (1 - d) * w          after each update
        d = decay                        without warmup and ramp
            min(decay, (1 + t) / (10 + t))    with warmup, after update t
            decay * (1 - exp(-t / ramp))      with ramp, after update t
            0                                 with begin, while t <= begin

    References:
        Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
        tf.train.ExponentialMovingAverage (warmup is its num_updates).
        mindcv 0.5 and mindocr 0.4 (ramp is 2000 there); YOLOv5's ModelEMA (ramp is its tau);
        timm 1.0.31 ModelEmaV3 (begin is its update_after_step + 1).
    """

    # Not dumped: the previous release knows only this average, without a kind, and reads the same
    # records and checkpoints during an upgrade.
    kind: Literal["shadow"] = Field("shadow", exclude=True)
    """An average that does not affect the training."""
    decay: float = Field(0.999, ge=0, lt=1)
    """Share of the old average that is kept."""
    warmup: bool = False
    """Whether the decay is smaller at the beginning of the run."""
    # Dumped only if it is given, so that the previous release can read the spec, as with `kind`.
    ramp: float | None = Field(
        None,
        gt=0,
        le=MAX_COUNT,
        exclude_if=lambda ramp: ramp is None,
        json_schema_extra={"unit": "steps"},
    )
    """Number of updates after which the decay has reached 63 % of its final value (ramp in the
    formula); null for no ramp. It cannot be combined with warmup."""
    begin: int | None = Field(
        None,
        ge=1,
        le=MAX_COUNT,
        exclude_if=lambda begin: begin is None,
        json_schema_extra={"unit": "steps"},
    )
    """Number of updates after which the average begins; until then e equals w. null: the average
    begins with w before the first update."""

    @model_validator(mode="after")
    def _rises_in_one_way(self) -> Self:
        if self.ramp is not None and self.warmup:
            reject(["ramp"], f"ramp must be null with warmup, got {self.ramp:g}", self.ramp)
        return self


class KerasEma(Spec):
    """
    An exponential moving average e of the parameters p, which the optimizer maintains.

    The run is evaluated with e, and the artifact (the trained model) contains e. If
    *overwrite_every* is given, e also replaces p during the training. If parameters have float32
    copies, the copies are averaged.

    ::

        e = p                              after the first update
        e = decay * e + (1 - decay) * p    after each further update
        p = e                              every overwrite_every updates

    References:
        keras.optimizers.Optimizer(use_ema=True, ema_momentum=, ema_overwrite_frequency=).
    """

    kind: Literal["keras"]
    decay: float = Field(0.99, ge=0, le=1)
    """Share of the old average that is kept (Keras' ema_momentum)."""
    overwrite_every: int | None = Field(
        None, ge=1, le=MAX_COUNT, json_schema_extra={"unit": "steps"}
    )
    """Number of updates after which the parameters are set to their average; null for never."""


def _tag(value: Any) -> str:  # noqa: ANN401  pydantic hands over whatever was given
    given = value.get("kind", "shadow") if isinstance(value, dict) else None
    return f"{TAG}{given or getattr(value, 'kind', 'shadow')}"


AnyEma = Annotated[
    Annotated[ShadowEma, Tag(f"{TAG}shadow")] | Annotated[KerasEma, Tag(f"{TAG}keras")],
    Discriminator(_tag),
]
"""Any moving average, selected by `kind`, which is shadow by default."""


class Lookahead(Spec):
    """
    Slow weights s that follow the trained weights w. Once in *every* updates, w is set to s.

    ::

        s = s + alpha * (w - s)
        w = s

    The trained weights w are evaluated and saved, whereas the paper returns the slow weights s. The
    two are equal whenever w has just been set to s.

    References:
        Zhang et al., Lookahead Optimizer: k steps forward, 1 step back, 2019, Algorithm 1.
        https://arxiv.org/abs/1907.08610
    """

    every: int = Field(5, ge=1, le=MAX_COUNT, json_schema_extra={"unit": "steps"})
    """Number of updates after which w is set to s (the paper's k)."""
    alpha: float = Field(0.5, gt=0, le=1)
    """Fraction of the distance to the trained weights by which the slow weights move."""
