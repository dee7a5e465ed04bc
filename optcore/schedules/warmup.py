"""Warmup: a rise of lr before a schedule, and the three ways to continue after the rise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers
from optcore.spec.duration import MomentOrShare, RunLength
from optcore.spec.errors import reject
from optcore.spec.later import LaterSpec

After = Literal["delay", "overlap", "compress"]
Shape = Literal[
    "linear",
    "cosine",
    "exponential",
    "constant",
    "sqrt",
    "square",
    "one_minus_sqrt",
    "one_minus_square",
]


class Warmup(LaterSpec):
    """
    A rise to the schedule's first value, over the first steps of the run.

    w is *length*, x is t / w, and f is the schedule without the warmup. peak is *end*, or f(0) if
    *end* is null. start is *start*, or peak * *start_fraction* if *start_fraction* is given::

        t <  w:  linear            start + (peak - start) * x
                 cosine            start + (peak - start) * (1 - cos(pi * x)) / 2
                 sqrt              start + (peak - start) * sqrt(x)
                 square            start + (peak - start) * x ** 2
                 one_minus_sqrt    start + (peak - start) * (1 - sqrt(1 - x))
                 one_minus_square  start + (peak - start) * (1 - (1 - x) ** 2)
                 exponential       start * (peak / start) ** x
                 constant          start
        t >= w:  delay     f(t - w)                  the schedule starts at t = w
                 overlap   f(t)                      the schedule starts at t = 0
                 compress  f((t - w) * T / (T - w))  the schedule is compressed to T - w steps

    With *toward* ``curve``, peak is f(t), the schedule's value at the same step. For example, an lr
    of 0.1 for biases falls to the curve while the lr of the weights rises from 0 to the curve.

    In dialect timm, peak is the lr of the optimizer, even if f(0) is another value. Only for tanh
    with ``overlap``, peak is f(w).

    With ``delay``, a schedule as long as the run does not reach its end before the run ends;
    validation then warns. In dialects transformers and optax, ``compress`` subtracts w from the
    schedule's *length*, so that the schedule ends at the same step as without the warmup.

    References:
        Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2.
        https://arxiv.org/abs/1706.02677
        delay: Paddle 3.3.1 LinearWarmup, Keras 3.15.1 CosineDecay(warmup_target), torch 2.13
        SequentialLR; overlap: timm 1.0.31; compress: transformers 5.24, optax 0.2.8
        warmup_cosine_decay_schedule. one_minus_sqrt: transformers 5.24 get_wsd_schedule. toward
        curve: the warmup of Ultralytics YOLOv5.
    """

    LATER: ClassVar[frozenset[str]] = frozenset({"start_fraction", "toward"})

    length: MomentOrShare
    """The length of the rise, in steps, epochs or a share of the run (``{"fraction": 0.1}``). With
    compress, the length must be shorter than the run, and in dialect optax shorter than the
    schedule; in dialect transformers it may be longer. In these two dialects the length may be 0.
    A rise of less than a step affects only the first update. In dialect paddleocr, the length is
    rounded to whole steps, half to even, as in PaddleOCR."""
    start: float = Field(0.0, ge=0, json_schema_extra={"unit": "lr"})
    """The lr of the first update. The default is 0, as in most frameworks, with which the first
    update changes nothing."""
    start_fraction: float | None = Field(None, ge=0, json_schema_extra={"unit": "of the peak"})
    """The first lr as a fraction of the peak, in place of start; null to use start. In dialect
    transformers, the default for wsd is the end_fraction of the schedule."""
    after: After | None = None
    """How the schedule continues after the warmup. The default is delay in dialects torch, paddle,
    paddleocr and keras, and overlap in dialect timm. In dialects transformers and optax it is delay
    for constant, exponential and one_cycle. In all other cases it depends on the schedule: delay
    for chain, cycle, cyclic, inverse_sqrt and noam; overlap for greedy, multi_step, per_batch,
    per_epoch, piecewise, plateau, step, values and wsd; compress for the rest."""
    shape: Shape = "linear"
    """The shape of the rise from start to end."""
    end: float | None = Field(None, ge=0, json_schema_extra={"unit": "lr"})
    """The lr at the end of the rise; null for the schedule's first value. With any other value lr
    jumps after the rise, as in Paddle's LinearWarmup(end_lr)."""
    toward: Literal["peak", "curve"] = "peak"
    """What the rise goes to. peak: the schedule's first value, or end if end is given. curve: the
    schedule's value at the same step; after must then be overlap."""

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.start_fraction is not None and self.start != 0:
            reject(
                ["start_fraction"],
                f"start_fraction must not be given together with start, got "
                f"{self.start_fraction} and {self.start}",
                self.start_fraction,
            )
        return self

    @model_validator(mode="after")
    def _a_curve_is_followed_from_the_first_step(self) -> Self:
        if self.toward == "curve" and self.after not in ("overlap", None):
            reject(
                ["toward"],
                f"toward must be 'peak' if after is {self.after!r}, got 'curve': the schedule has "
                "no value during the warmup",
                self.toward,
            )
        if self.toward == "curve" and self.end is not None:
            reject(
                ["end"],
                f"end must be null if toward is 'curve', got {self.end}",
                self.end,
            )
        if self.toward == "curve" and self.shape == "constant":
            reject(
                ["toward"],
                "toward must be 'peak' if shape is 'constant', got 'curve': a constant warmup does "
                "not rise",
                self.toward,
            )
        return self

    @model_validator(mode="after")
    def _exponential_needs_a_start(self) -> Self:
        if self.shape == "exponential" and self.start == 0 and not self.start_fraction:
            reject(
                ["start"],
                f"start must be positive if shape is 'exponential', got {self.start}",
                self.start,
            )
        return self

    def span(self, run: RunLength, *, rounded: bool) -> float:
        """Return the length in steps, rounded to whole steps if *rounded* is true."""
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
            end: the lr at the end of the rise, used only if the field `end` is null. None stands
                for the first value of *curve*.
        """
        return warmup(
            curve,
            length=self.span(run, rounded=rounded),
            start=self.start,
            after=self.after or after,
            total_steps=run.span(None),
            shape=self.shape,
            end=end if self.end is None else self.end,
            start_fraction=self.start_fraction,
            toward=self.toward,
            numbers=numbers,
        )


def warmup(
    curve: Curve,
    *,
    length: float,
    start: float,
    after: After,
    total_steps: float,
    shape: Shape = "linear",
    end: float | None = None,
    start_fraction: float | None = None,
    toward: Literal["peak", "curve"] = "peak",
    numbers: Numbers = DOUBLE,
) -> Curve:
    """
    Return *curve* preceded by a rise from *start* to *end*.

    With the shape ``linear`` (`Warmup` has the formulas of the other shapes)::

        t <  length:  start + (end - start) * t / length
        t >= length:  delay     curve(t - length)
                      overlap   curve(t)
                      compress  curve((t - length) * total_steps / (total_steps - length))

    Args:
        curve: the schedule without its warmup.
        length: the length of the rise in steps, which may be a fraction; 0 for no rise.
        start: the lr at t = 0.
        after: how *curve* continues after the rise: ``delay``, ``overlap`` or ``compress``.
        total_steps: the length of the run in steps. With compress, it must exceed *length*.
        shape: the shape of the rise.
        end: the lr at the end of the rise; None for the first value of *curve*.
        start_fraction: the lr at t = 0 as a fraction of *end*, in place of *start*.
        toward: ``peak`` for a rise to *end*, ``curve`` for a rise to the current value curve(t).
        numbers: the precision and rounding with which a linear rise is computed.
    """
    if length == 0:
        return curve
    # Taken once: if a metric changes lr during the rise, or a state is restored later, the rise
    # stays the same, so that a resumed run has the same rise.
    peak = float(curve(np.zeros(1))[0]) if end is None else end
    low = start if start_fraction is None else peak * start_fraction
    rise = _rise(length, low, peak, shape, numbers)
    offset = 0 if after == "overlap" else length
    if toward == "curve":
        moving = _moving_rise(curve, length, start, start_fraction, shape)
        return lambda t: np.where(t < length, moving(np.minimum(t, length)), curve(t))

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
    # The other shapes are in float64: the warmups of Keras, MindSpore and optax are linear.
    if shape == "cosine":
        # In the order of 0.2.0, whose jobs must be resumed with the same bits.
        return lambda t: start + (peak - start) * (1 - np.cos(np.pi * t / length)) / 2
    if shape != "linear":
        return lambda t: _between(start, peak, t / length, shape)
    n = numbers(length)
    if numbers.optax:
        # optax has no rise, only a fall whose end may be above its start.
        one, depth, top = numbers(1), numbers.difference(start, peak), numbers(peak)
        return lambda t: depth * (one - numbers.steps(t) / n) + top
    low, height = numbers.lr(start), numbers.lr(peak) - numbers.lr(start)
    # Divided first, as in Keras and MindSpore.
    return lambda t: low + height * (numbers.steps(t) / n)


def _moving_rise(
    curve: Curve, length: float, start: float, start_fraction: float | None, shape: str
) -> Curve:
    def f(t: Array) -> Array:
        peak = np.asarray(curve(t))
        low = np.full_like(peak, start) if start_fraction is None else peak * start_fraction
        return _between(low, peak, t / length, shape)

    return f


def _between(start: float | Array, peak: float | Array, x: Array, shape: str) -> Array:
    """Return the lr at the fraction *x* (0..1) of a rise from *start* to *peak*."""
    if shape == "constant":
        return np.full_like(x, start)
    if shape == "exponential":
        # A start of 0 is a fraction of a peak of 0, to which the rise stays equal.
        ratio = np.divide(peak, start, out=np.ones(np.shape(start)), where=np.not_equal(start, 0))
        return np.asarray(start * DOUBLE.power(ratio, x))
    return np.asarray(start + (peak - start) * RISES[shape](x))


RISES: Mapping[str, Curve] = {
    "linear": lambda x: x,
    "cosine": lambda x: (1 - np.cos(np.pi * x)) / 2,
    "sqrt": np.sqrt,
    "square": lambda x: x * x,
    "one_minus_sqrt": lambda x: 1 - np.sqrt(1 - x),
    "one_minus_square": lambda x: 1 - (1 - x) ** 2,
}
"""Shape -> the part of the rise that is completed at the fraction x (0..1) of the warmup."""
