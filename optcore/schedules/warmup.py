"""Warmup: the rise before a schedule."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import Spec
from optcore.spec.duration import Duration
from optcore.spec.errors import reject

After = Literal["delay", "overlap", "compress"]


class Warmup(Spec):
    """
    A rise to the schedule's first value, over the first w steps.

    Writing x for t / w and peak for *end*, or for f(0) where *end* is left out::

        t <  w:  linear       start + (peak - start) * x
                 cosine       start + (peak - start) * (1 - cos(pi * x)) / 2
                 exponential  start * (peak / start) ** x
                 constant     start
        t >= w:  delay     f(t - w)                  the schedule begins after the warmup
                 overlap   f(t)                      it has been running all along
                 compress  f((t - w) * T / (T - w))  it is squeezed into what is left of the run

    With ``delay`` a schedule as long as the run is cut off by its end: validate warns.

    References:
        Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2.
        https://arxiv.org/abs/1706.02677
        delay: Paddle 3.3.1 LinearWarmup, Keras 3.15.1 CosineDecay(warmup_target), torch 2.13
        SequentialLR; overlap: timm 1.0.31; compress: transformers 5.23, optax 0.2.8
        warmup_cosine_decay_schedule.
    """

    length: Duration
    """How long lr rises; shorter than the run."""
    start: float = Field(0.0, ge=0, json_schema_extra={"unit": "lr"})
    """lr of the first update. The default, 0, is what most frameworks do: that update changes
    nothing."""
    after: After | None = None
    """What the schedule does about the steps the warmup took. Left out: delay in the dialects
    torch, paddle, paddleocr and keras; in others compress where the schedule is a curve over the
    run, overlap where it changes at given steps."""
    shape: Literal["linear", "cosine", "exponential", "constant"] = "linear"
    """How lr gets from start to end."""
    end: float | None = Field(None, ge=0, json_schema_extra={"unit": "lr"})
    """What lr rises to; null for the schedule's first value. Another value is a jump at the end
    of the warmup, which Paddle's LinearWarmup(end_lr) allows."""

    @model_validator(mode="after")
    def _exponential_needs_a_start(self) -> Self:
        if self.shape == "exponential" and self.start == 0:
            reject(
                ["start"],
                f"start must be positive where shape is exponential, got {self.start}",
                self.start,
            )
        return self
