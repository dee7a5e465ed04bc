"""Warmup: a rise of lr before a schedule, and the three ways to continue after the rise."""

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
    A rise to the schedule's first value, over the first steps of the run.

    Writing w for *length*, x for t / w, f for the schedule without the warmup, and peak for *end*
    (f(0) if *end* is null)::

        t <  w:  linear       start + (peak - start) * x
                 cosine       start + (peak - start) * (1 - cos(pi * x)) / 2
                 exponential  start * (peak / start) ** x
                 constant     start
        t >= w:  delay     f(t - w)                  the schedule starts at t = w
                 overlap   f(t)                      the schedule starts at t = 0
                 compress  f((t - w) * T / (T - w))  the schedule is compressed to T - w steps

    In dialect timm peak is the lr of the optimizer, even if f(0) is another value; for tanh with
    ``overlap`` it is f(w).

    With ``delay``, a schedule as long as the run is cut off by the run's end; validation warns.

    References:
        Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2.
        https://arxiv.org/abs/1706.02677
        delay: Paddle 3.3.1 LinearWarmup, Keras 3.15.1 CosineDecay(warmup_target), torch 2.13
        SequentialLR; overlap: timm 1.0.31; compress: transformers 5.23, optax 0.2.8
        warmup_cosine_decay_schedule.
    """

    length: Duration
    """The length of the rise; with compress it must be shorter than the run. A rise of less than
    a step concerns the first update alone. PaddleOCR rounds the length to whole steps, half to
    even, and so does its dialect."""
    start: float = Field(0.0, ge=0, json_schema_extra={"unit": "lr"})
    """The lr of the first update. The default is 0, as in most frameworks; the first update then
    changes nothing."""
    after: After | None = None
    """How the schedule continues after the warmup. The default is delay in dialects torch, paddle,
    paddleocr and keras, and overlap in timm. Otherwise it is delay for chain, cycle, cyclic,
    inverse_sqrt and noam, overlap for greedy, multi_step, per_epoch, piecewise, plateau, step,
    values and wsd, and compress for the rest."""
    shape: Literal["linear", "cosine", "exponential", "constant"] = "linear"
    """The shape of the rise from start to end."""
    end: float | None = Field(None, ge=0, json_schema_extra={"unit": "lr"})
    """The lr at the end of the rise; null for the schedule's first value. With any other value lr
    jumps after the rise, as in Paddle's LinearWarmup(end_lr)."""

    @model_validator(mode="after")
    def _exponential_needs_a_start(self) -> Self:
        if self.shape == "exponential" and self.start == 0:
            reject(
                ["start"],
                f"start must be positive where shape is exponential, got {self.start}",
                self.start,
            )
        return self

    def span(self, run: RunLength, *, rounded: bool) -> float:
        """Return the length in steps, *rounded* to whole steps or not."""
        return run.steps(self.length) if rounded else run.span(self.length)

    def before(
        self,
        curve: Curve,
        run: RunLength,
        *,
        after: After,
        numbers: Numbers,
        rounded: bool = False,
        end: float | None = None,
    ) -> Curve:
        """
        Return *curve* preceded by this warmup.

        Args:
            curve: the schedule without its warmup.
            run: the length of the run.
            after: the default for the field `after`.
            numbers: the precision and rounding with which a linear rise is computed.
            rounded: whether the length is rounded to whole steps.
            end: the end of the rise if the field `end` is null; None for the first value of
                *curve*.
        """
        return warmup(
            curve,
            length=self.span(run, rounded=rounded),
            start=self.start,
            after=self.after or after,
            total_steps=run.span(None),
            shape=self.shape,
            end=end if self.end is None else self.end,
            numbers=numbers,
        )


def warmup(
    curve: Curve,
    *,
    length: float,
    start: float,
    after: After,
    total_steps: float,
    shape: Literal["linear", "cosine", "exponential", "constant"] = "linear",
    end: float | None = None,
    numbers: Numbers = DOUBLE,
) -> Curve:
    """
    Return *curve* preceded by a rise from *start* to *end*.

    With the shape ``linear``, and the other shapes as in `Warmup`::

        t <  length:  start + (end - start) * t / length
        t >= length:  delay     curve(t - length)
                      overlap   curve(t)
                      compress  curve((t - length) * total_steps / (total_steps - length))

    Args:
        curve: the schedule without its warmup.
        length: the length of the rise in steps, which may be a fraction; 0 for no rise.
        start: the lr at t = 0.
        after: how *curve* continues after the rise.
        total_steps: the length of the run in steps, with compress greater than *length*.
        shape: the shape of the rise.
        end: the lr at the end of the rise; None for the first value of *curve*.
        numbers: the precision and rounding with which a linear rise is computed.
    """
    if length == 0:
        return curve
    # Taken once: if a metric changes lr during the rise, or a state is restored later, the rise
    # stays the same, so that a resumed run has the same rise.
    peak = float(curve(np.zeros(1))[0]) if end is None else end
    rise = _rise(length, start, peak, shape, numbers)
    offset = 0 if after == "overlap" else length

    def f(t: Array) -> Array:
        since = np.maximum(t - offset, 0.0)
        if after == "compress":
            # Multiplied first: the product is exact, so that whole positions stay whole.
            since = since * total_steps / (total_steps - length)
        # np.where computes both sides at every t: the rise must not overflow after its end, and
        # the curve is defined only from 0 on.
        return np.where(t < length, rise(np.minimum(t, length)), curve(since))

    return f


def _rise(length: float, start: float, peak: float, shape: str, numbers: Numbers) -> Curve:
    low, height, n = numbers.lr(start), numbers.lr(peak) - numbers.lr(start), numbers(length)
    # The shapes below are in float64: the warmups of Keras and MindSpore are linear.
    if shape == "constant":
        return lambda t: np.full_like(t, start)
    if shape == "exponential":
        return lambda t: start * DOUBLE.power(peak / start, t / length)
    if shape == "cosine":
        return lambda t: start + (peak - start) * (1 - np.cos(np.pi * t / length)) / 2
    # Divided first, as in Keras and MindSpore.
    return lambda t: low + height * (numbers.steps(t) / n)
