"""Cosine annealing, and PaddleOCR's two-step cosine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from optcore.schedules.base import Example, RunProblem, Variants, at_least_a_step
from optcore.schedules.dialects import Dialectal, ScheduleDialect, by_dialect
from optcore.schedules.families.annealing import Annealing, between, no_k_decay
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers
from optcore.schedules.numerics.recursion import SINGLE, Single, from_table
from optcore.spec.duration import Duration, RunLength, counted


class Cosine(Annealing, Dialectal):
    """
    Half a cosine wave from lr down to *end*.

    e is *end*, or lr * *end_fraction* if *end_fraction* is given::

        past_end hold:  f(t) = e + (lr - e) * (1 + cos(pi * min(t, length) / length)) / 2
        past_end rise:  f(t) = e + (lr - e) * (1 + cos(pi * t / length)) / 2

    Three fields change parts of these formulas::

        num_cycles n:  pi becomes 2 * pi * n
        exponent p:    (1 + cos(...)) / 2 becomes ((1 + cos(...)) / 2) ** p
        k_decay k:     t / length becomes t ** k / length ** k

    After *length*, frameworks differ. In torch, Paddle and transformers lr rises again, with a
    period of 2 * length. In TF, Keras, MindSpore and optax lr stays at its end.

    *end_fraction* is called alpha in TF, Keras and optax, and min_lr_rate in transformers.

    References:
        Loshchilov and Hutter, SGDR, 2017, equation 5. https://arxiv.org/abs/1608.03983
        torch 2.13 CosineAnnealingLR; Paddle 3.3.1 CosineAnnealingDecay; TF 2.21
        tf.compat.v1.train.cosine_decay; Keras 3.15.1 CosineDecay; MindSpore 2.10 CosineDecayLR
        and cosine_decay_lr; PaddleOCR Cosine; transformers 5.24 get_cosine_schedule_with_warmup
        and get_cosine_with_min_lr_schedule_with_warmup; optax 0.2.8 cosine_decay_schedule and
        warmup_cosine_decay_schedule; timm 1.0.31 CosineLRScheduler (with cycles: `cycle`).
        Zhang and Li, k-decay, 2020. https://arxiv.org/abs/2004.05909
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = (
        "torch",
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "tf1",
        "transformers",
        "optax",
        "timm",
    )
    HAS_LENGTH: ClassVar[bool] = True
    LATER: ClassVar[frozenset[str]] = frozenset({"num_cycles", "exponent", "k_decay"})
    EXAMPLE: ClassVar[Example] = {}
    VARIANTS: ClassVar[Variants] = {
        "k_decay 2": {"k_decay": 2.0},
        "length 200, past_end rise": {"length": 200, "past_end": "rise"},
        "end_fraction 0.3": {"end_fraction": 0.3},
        "num_cycles 1.5": {"num_cycles": 1.5},
        "exponent 2": {"exponent": 2.0},
    }

    kind: Literal["cosine"]
    past_end: Literal["hold", "rise"] = by_dialect(
        "hold", torch="rise", paddle="rise", paddleocr="rise", transformers="rise"
    )
    """Whether lr stays at its end after length (hold) or rises again (rise)."""
    num_cycles: float = Field(0.5, gt=0, le=1e6)
    """The number of waves in length: 0.5 is one fall, 1.5 is a fall, a rise and a fall."""
    exponent: float = Field(1.0, gt=0, le=1000)
    """The exponent of the wave: above 1, lr falls earlier."""
    k_decay: float = Field(1.0, gt=0, le=1000)
    """The exponent of t / length. lr falls later if the exponent is above 1, and earlier if it is
    below 1. Only in dialects plain and timm."""

    @model_validator(mode="after")
    def _k_decay_exists(self) -> Self:
        no_k_decay(self, self.k_decay)
        return self

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning if lr rises again before the run ends."""
        yield from super().warnings_in(run)
        if self.length is None or self.past_end == "hold":
            return
        over = self.offset(run) + run.span(self.length)
        if over < run.total_steps - 1:
            yield (
                f"schedule.past_end: lr rises again after {counted(over, 'step')} of "
                f"{run.total_steps}; hold keeps it at its end"
            )

    def _formula(self, lr: float, run: RunLength) -> Curve:
        length = run.span(self.length)
        # torch has one wave, which always rises again: with hold there is nothing to copy.
        plain = (self.past_end, self.num_cycles, self.exponent) == ("rise", 0.5, 1.0)
        if self.recursive and plain:
            return recursive_cosine(lr=lr, length=length, end=self.absolute_end(lr))
        ends = self._ends()
        # optax's warmup_cosine_decay_schedule turns its end_value into a fraction.
        if self.dialect == "optax" and self.end_fraction is None and lr > 0:
            ends = {"end_fraction": self.end / lr}
        return cosine(
            lr=lr,
            length=length,
            past_end=self.past_end,
            num_cycles=self.num_cycles,
            exponent=self.exponent,
            k_decay=self.k_decay,
            numbers=self.numbers,
            **ends,
        )


class TwoStepCosine(Annealing, Dialectal):
    """
    A cosine over *first* steps, then the rest of a longer cosine over *length* steps.

    e is *end*, or lr * *end_fraction* if *end_fraction* is given::

        t <= first:  f(t) = e + (lr - e) * (1 + cos(pi * t / first)) / 2
        t >  first:  f(t) = e + (lr - e) * (1 + cos(pi * t / length)) / 2

    After t = first, lr jumps up to the second cosine. After t = length, lr stays at e if *past_end*
    is ``hold``. If *past_end* is ``rise``, lr rises again with the second cosine.

    With *after_first* ``zero``, lr does not jump but stays at e. If *past_end* is ``rise``, lr
    rises with the second cosine after the first of the steps length, 3 * length, 5 * length, ...
    that is not before *first*.

    PaddleOCR jumps only if there is a warmup. Without a warmup, it multiplies the distance between
    the previous lr and e by a factor, and no factor raises a distance of 0. The result is that of
    ``zero`` and ``rise``.

    References:
        PaddleOCR TwoStepCosine (first is 200 epochs), ppocr/optimizer/lr_scheduler.py.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("paddleocr",)
    EXAMPLE: ClassVar[Example] = {"first": 200}
    VARIANTS: ClassVar[Variants] = {"after_first zero": {"first": 200, "after_first": "zero"}}

    kind: Literal["two_step_cosine"]
    first: Duration
    """The length of the first cosine."""
    after_first: Literal["jump", "zero"] = Field(
        default_factory=lambda data: (
            "zero" if data.get("dialect") == "paddleocr" and data.get("warmup") is None else "jump"
        ),
        json_schema_extra={"defaults": {"plain": "jump", "paddleocr": "zero"}},
    )
    """Whether lr jumps to the second cosine after first (jump) or stays at its end (zero). In
    dialect paddleocr the default is zero without a warmup, and jump with a warmup."""
    past_end: Literal["hold", "rise"] = by_dialect("hold", paddleocr="rise")
    """Whether lr stays at its end after length (hold) or rises again (rise)."""

    def unused(self) -> Iterator[tuple[str, str]]:
        """Yield *length*, which has no effect, if the second cosine never begins."""
        if self.after_first == "zero" and self.past_end == "hold":
            yield "length", "lr stays at its end where after_first is zero and past_end is hold"

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *first* rounds to 0 steps."""
        yield from super().problems_in(run)
        yield from at_least_a_step("first", self.first, run)

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning if lr stays at its end after the first cosine."""
        yield from super().warnings_in(run)
        first = self.offset(run) + run.span(self.first)
        if self.after_first == "zero" and first < run.total_steps - 1:
            yield (
                f"schedule.after_first: lr stays at its end after step {first:.12g}, as in "
                "PaddleOCR; jump starts the second cosine there"
            )

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return two_step_cosine(
            lr=lr,
            first=run.span(self.first),
            length=run.span(self.length),
            after_first=self.after_first,
            past_end=self.past_end,
            **self._ends(),
        )


def cosine(
    *,
    lr: float,
    length: float,
    end: float = 0.0,
    end_fraction: float | None = None,
    past_end: Literal["hold", "rise"] = "hold",
    num_cycles: float = 0.5,
    exponent: float = 1.0,
    k_decay: float = 1.0,
    numbers: Numbers = DOUBLE,
) -> Curve:
    """
    Return f(t) = end + (lr - end) * (1 + cos(pi * min(t, length) / length)) / 2.

    `Cosine` documents how *past_end*, *num_cycles*, *exponent* and *k_decay* change the formula.
    """
    lr_at = between(lr, end, end_fraction, numbers)
    # Twice 0.5 is exactly 1, so that one fall is computed with pi itself.
    pi, n, half, one = numbers(np.pi * (2 * num_cycles)), numbers(length), numbers(0.5), numbers(1)
    # TF divides before it multiplies, the others after.
    ratio_first = end_fraction is not None and not numbers.optax

    def f(t: Array) -> Array:
        at = numbers.steps(np.minimum(t, length) if past_end == "hold" else t)
        if k_decay != 1:
            wave = np.cos(pi * at**k_decay / length**k_decay)
        elif numbers.sines and numbers.single:
            # MindSpore 2.10's CosineDecayLR computes a sine; its lists, in float64, a cosine.
            wave = numbers.sin(pi * (at / n + half))
        else:
            wave = numbers.cos(numbers.share(at, n, pi) if ratio_first else pi * at / n)
        # A product with a half is exact, so its place is free: MindSpore halves lr - end.
        left = half * (one + wave)
        return lr_at(left if exponent == 1 else numbers.power(left, numbers(exponent)))

    return f


def recursive_cosine(*, lr: float, length: float, end: float) -> Curve:
    """Return a cosine that rises again after *length*, by torch's recursion in float32."""
    pi, one, floor = np.float32(np.pi), np.float32(1), np.float32(end)
    n = np.float32(length)
    # With an end, lr is not just a product of factors: a million steps take half a second, once.
    # The angle of the sum is divided in Python, those of the ratios in float32, as in MindSpore.
    lift = (np.float32(lr) - floor) * (
        one - SINGLE.cos(np.asarray(np.float32(np.pi / length)))
    ) / np.float32(2)  # fmt: skip

    def table(size: int) -> Single:
        t = np.arange(1, size, dtype=np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = (one + SINGLE.cos(pi * t / n)) / (one + SINGLE.cos(pi * (t - one) / n))
        # One step after each low point torch adds *lift*, since the ratio would divide by 0 there.
        # 1 + cosf(pi) is exactly 0, and so is the height of lr above its end before the sum.
        lifts = (np.arange(1, size) - 1 - length) % (2 * length) == 0
        if floor == 0:
            return _lifted(np.float32(lr), ratios, lifts, lift)
        values: list[Any] = [np.float32(lr)]
        for ratio, lifted in zip(ratios, lifts, strict=True):
            value = values[-1]
            values.append(value + lift if lifted else ratio * (value - floor) + floor)
        return np.asarray(values, np.float32)

    return from_table(table)


def _lifted(first: Any, ratios: Single, lifts: NDArray[np.bool_], lift: Any) -> Single:  # noqa: ANN401
    """
    Return the values v that begin with v[0] = *first*.

    v[i + 1] is v[i] + *lift* if lifts[i] is true, else v[i] * ratios[i].
    """
    values = np.concatenate([np.asarray([first], np.float32), ratios])
    starts = [0, *(np.flatnonzero(lifts) + 1), len(values)]
    for start, stop in pairwise(starts):
        if start:
            values[start] = values[start - 1] + lift
        values[start:stop] = np.multiply.accumulate(values[start:stop], dtype=np.float32)
    return values


def two_step_cosine(
    *,
    lr: float,
    first: float,
    length: float,
    end: float = 0.0,
    end_fraction: float | None = None,
    after_first: Literal["jump", "zero"] = "jump",
    past_end: Literal["hold", "rise"] = "hold",
) -> Curve:
    """
    Return a cosine over *first* steps, then the rest of a longer cosine over *length* steps.

    With *after_first* ``zero``, lr follows PaddleOCR's recursion. A step of the recursion
    multiplies the distance of lr from its end value by a factor. At t = first, this distance is 0,
    so lr stays at its end value. One step after each odd multiple of *length*, the recursion adds
    to lr instead, and lr rises again.
    """
    early = cosine(lr=lr, length=first, end=end, end_fraction=end_fraction)
    late = cosine(lr=lr, length=length, end=end, end_fraction=end_fraction, past_end=past_end)
    floor = end if end_fraction is None else lr * end_fraction
    # The number of sums during the first cosine, which PaddleOCR's recursion does not reach.
    cycles_gone = max(0, -(-(first - length) // (2 * length)))
    awake = length + 1 + 2 * length * cycles_gone

    def f(t: Array) -> Array:
        after = np.asarray(late(t))
        if after_first == "zero":
            after = np.where(t < awake, floor, after)
        return np.where(t <= first, early(t), after)

    return f
