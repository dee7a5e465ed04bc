"""Warmup: the rise before a schedule, and the three meanings of what comes after it."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers
from optcore.spec.base import Spec
from optcore.spec.duration import Duration, RunLength
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

    def before(self, curve: Curve, run: RunLength, *, after: After, numbers: Numbers) -> Curve:
        """Return *curve* behind this rise; *after* holds where the warmup leaves it out."""
        return warmup(
            curve,
            length=run.steps(self.length),
            start=self.start,
            after=self.after or after,
            total_steps=run.total_steps,
            shape=self.shape,
            end=self.end,
            numbers=numbers,
        )


def warmup(
    curve: Curve,
    *,
    length: int,
    start: float,
    after: After,
    total_steps: int,
    shape: Literal["linear", "cosine", "exponential", "constant"] = "linear",
    end: float | None = None,
    numbers: Numbers = DOUBLE,
) -> Curve:
    """
    Return *curve* behind a rise from *start* to *end*, or else to its first value.

    ::

        t <  length:  start + (end - start) * t / length
        t >= length:  delay     curve(t - length)
                      overlap   curve(t)
                      compress  curve((t - length) * total_steps / (total_steps - length))

    Args:
        curve: the schedule proper.
        length: of the rise, in steps; 0 for none.
        start: lr at t = 0.
        after: what the curve does about the steps the rise took.
        total_steps: length of the run, above *length*.
        shape: of the rise.
        end: what it rises to; None for the curve's first value.
        numbers: what the rise is computed in.
    """
    if length == 0:
        return curve
    # Taken once. An lr that a metric changes during the rise, or that is restored after this, does
    # not change the rise: a resumed run has the same one.
    peak = float(curve(np.zeros(1))[0]) if end is None else end
    rise = _rise(length, start, peak, shape, numbers)
    offset = 0 if after == "overlap" else length

    def f(t: Array) -> Array:
        since = np.maximum(t - offset, 0.0)
        if after == "compress":
            # The product first: it is exact, so that whole positions stay whole.
            since = since * total_steps / (total_steps - length)
        # np.where computes both sides at every t: the rise must not overflow after its end, and
        # the curve is defined from 0 on only.
        return np.where(t < length, rise(np.minimum(t, length)), curve(since))

    return f


def _rise(length: int, start: float, peak: float, shape: str, numbers: Numbers) -> Curve:
    low, height, n = numbers.lr(start), numbers.lr(peak) - numbers.lr(start), numbers(length)
    # The other shapes are in float64: the warmups of Keras and MindSpore are lines.
    if shape == "constant":
        return lambda t: np.full_like(t, start)
    if shape == "exponential":
        return lambda t: start * DOUBLE.power(peak / start, t / length)
    if shape == "cosine":
        return lambda t: start + (peak - start) * (1 - np.cos(np.pi * t / length)) / 2
    # Divided first, as in Keras and MindSpore.
    return lambda t: low + height * (numbers.steps(t) / n)
