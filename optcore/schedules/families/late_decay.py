"""Schedules that stay near lr for most of the run and fall late in the run: REX and WSD."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import Example, RunProblem, Variants, at_least_a_step, rounded
from optcore.schedules.dialects import Dialectal, ScheduleDialect, by_dialect
from optcore.schedules.families.annealing import Annealing, between
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, Moment, RunLength, counted
from optcore.spec.errors import reject


class Rex(Annealing):
    """
    Reflected exponential: lr falls slowly at first, then faster and faster, to *end*.

    x is min(t, length) / length. e is *end*, or lr * *end_fraction* if *end_fraction* is given::

        f(t) = e + (lr - e) * (1 - x) / (1 - x / 2)

    References:
        Chen et al., REX: Revisiting Budgeted Training with an Improved Schedule, 2021.
        https://arxiv.org/abs/2107.04197
    """

    EXAMPLE: ClassVar[Example] = {}
    VARIANTS: ClassVar[Variants] = {"linear": {"kind": "linear"}}

    kind: Literal["rex"]

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return rex(lr=lr, length=run.span(self.length), **self._ends())


Shape = Literal["linear", "cosine", "one_minus_sqrt", "one_minus_square", "power", "exponential"]


class WarmupStableDecay(Annealing, Dialectal):
    """
    A constant lr, then a fall to *end* over the last *decay* steps; with a warmup, a trapezoid.

    x is (t - (length - decay)) / decay, limited to 0..1. e is *end*, or lr * *end_fraction* if
    *end_fraction* is given. s(t) is lr, or max(lr * (1 + t / timescale) ** -p, e) with a
    *stable_power* p::

        linear           f(t) = e + (s(t) - e) * (1 - x)
        cosine           f(t) = e + (s(t) - e) * (1 + cos(pi * x)) / 2
        one_minus_sqrt   f(t) = e + (s(t) - e) * (1 - sqrt(x))
        one_minus_square f(t) = e + (s(t) - e) * (1 - x ** 2)
        power            f(t) = e + (s(t) - e) * (1 - x ** decay_power)
        exponential      f(t) = e + (s(t) - e) * (r ** x - r) / (1 - r),  r = decay_ratio

    With *num_cycles*, the pi of the cosine becomes 2 * pi * num_cycles. From t = length on, lr
    is e.

    In dialect transformers, *decay* may be longer than *length*; lr then begins in the middle of
    the fall. In dialect timm, *decay* is rounded to whole steps, as in timm.

    In timm, *length* does not include the warmup. For a warmup as in timm, set its field *after* to
    ``delay``.

    References:
        Hu et al., MiniCPM, 2024, section 4. https://arxiv.org/abs/2404.06395
        Hagele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training
        Durations, 2024 (1 - sqrt). https://arxiv.org/abs/2405.18392
        transformers 5.24 get_wsd_schedule; timm 1.0.31 WSDLRScheduler, which sched wsd and sched
        rsqrt (stable_power 0.5) select.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("transformers", "timm")
    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            "dialect",
            "precision",
            "num_cycles",
            "decay_power",
            "decay_ratio",
            "stable_power",
            "timescale",
        }
    )
    # The fall ends with the run: a warmup takes its steps from the constant part.
    AFTER: ClassVar[After] = "overlap"
    EXAMPLE: ClassVar[Example] = {"decay": 100, "warmup": {"length": 40}}
    VARIANTS: ClassVar[Variants] = {"one_minus_sqrt": {"decay": 100, "shape": "one_minus_sqrt"}}

    kind: Literal["wsd"]
    decay: Moment
    """The length of the fall, which is the last part of the schedule. In dialect transformers,
    decay may be 0."""
    shape: Shape = by_dialect("linear", transformers="cosine", timm="one_minus_sqrt")
    """The shape of the fall."""
    num_cycles: float = Field(0.5, gt=0, le=1e6)
    """The number of waves in a fall of shape cosine: 0.5 is one fall."""
    decay_power: float = Field(0.5, gt=0, le=1000)
    """The exponent in a fall of shape power."""
    decay_ratio: float = Field(0.1, gt=0, lt=1)
    """The ratio r in a fall of shape exponential; the fall is stretched so that lr reaches end."""
    stable_power: float = Field(0.0, ge=0, le=1000)
    """The exponent with which lr falls before and during the decay: 0 for a constant lr, 0.5 for
    an inverse square root."""
    timescale: Duration | None = None
    """The time after which stable_power has divided lr by 2 ** stable_power; null for the length
    of the warmup."""

    @model_validator(mode="after")
    def _numbers_have_a_use(self) -> Self:
        for name, used in (
            ("num_cycles", self.shape == "cosine"),
            ("decay_power", self.shape == "power"),
            ("decay_ratio", self.shape == "exponential"),
            ("timescale", self.stable_power != 0),
        ):
            value = getattr(self, name)
            if not used and value != type(self).model_fields[name].default:
                needed = "stable_power" if name == "timescale" else "shape"
                rule = f"{name} has no effect with {needed} {getattr(self, needed)}"
                reject([name], f"{rule}, got {value}", value)
        return self

    @model_validator(mode="after")
    def _has_a_timescale(self) -> Self:
        if self.stable_power and self.timescale is None and self.warmup is None:
            reject(
                ["timescale"],
                "timescale is required if stable_power is given without a warmup, got null",
                None,
            )
        return self

    @classmethod
    def warmup_defaults(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return, in dialect transformers, the schedule's end as default start of the warmup."""
        warmup = data["warmup"]
        given = warmup.get("start") is not None or warmup.get("start_fraction") is not None
        if data.get("dialect") != "transformers" or given:
            return {}
        if data.get("end_fraction") is not None:
            return {"start_fraction": data["end_fraction"]}
        return {"start": data.get("end", 0.0)}

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if a duration rounds to 0 steps, or *decay* exceeds *length*."""
        yield from super().problems_in(run)
        if self.stable_power:
            scale = self.warmup.length if self.warmup and not self.timescale else self.timescale
            yield from at_least_a_step("timescale", scale, run)
        if self.dialect == "transformers":
            return
        yield from at_least_a_step("decay", self.decay, run)
        length = run.span(self.length)
        decay = self._decay_span(run)
        if decay > length:
            yield RunProblem(
                ("decay",),
                f"decay must be at most the length of {counted(length, 'step')}, got {decay:.12g}",
                self.decay,
            )

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning if *decay* is rounded, or the fall begins during the warmup."""
        yield from super().warnings_in(run)
        if self.dialect == "timm":
            yield from rounded("decay", self.decay, run)
        stable = run.span(self.length) - run.span(self.decay)
        if self.dialect == "transformers" and stable < self.num_warmup_steps(run):
            yield (
                "schedule.decay: the fall begins before the warmup is over; after the warmup, lr "
                "jumps into the middle of the fall"
            )

    def peak(self, lr: float) -> float | None:
        """Return lr, to which a warmup rises in dialect transformers."""
        return lr

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return warmup_stable_decay(
            lr=lr,
            length=run.span(self.length),
            decay=self._decay_span(run),
            left=remaining(self.shape, self.num_cycles, self.decay_power, self.decay_ratio),
            stable_power=self.stable_power,
            timescale=self._timescale(run),
            **self._ends(),
        )

    def _decay_span(self, run: RunLength) -> float:
        return run.steps(self.decay) if self.dialect == "timm" else run.span(self.decay)

    def _timescale(self, run: RunLength) -> float:
        return self.warmup_span(run) if self.timescale is None else run.span(self.timescale)


def rex(*, lr: float, length: float, end: float = 0.0, end_fraction: float | None = None) -> Curve:
    """Return f(t) = end + (lr - end) * (1 - x) / (1 - x / 2) with x = min(t, length) / length."""
    lr_at = between(lr, end, end_fraction, DOUBLE)

    def f(t: Array) -> Array:
        x = np.minimum(t, length) / length
        # x is at most 1, so the divisor is at least a half.
        return lr_at((1 - x) / (1 - x / 2))

    return f


def warmup_stable_decay(
    *,
    lr: float,
    length: float,
    decay: float,
    left: Curve,
    stable_power: float = 0.0,
    timescale: float = 1.0,
    end: float = 0.0,
    end_fraction: float | None = None,
) -> Curve:
    """
    Return f(t) = s(t) up to t = length - decay, then a fall to the end value at t = length.

    `WarmupStableDecay` defines s(t). *left* is a function from the completed part (0..1) of *decay*
    to the remaining part (1..0) of the fall.
    """
    lr_at = between(lr, end, end_fraction, DOUBLE)
    floor = end if end_fraction is None else lr * end_fraction

    def f(t: Array) -> Array:
        # A decay of 0 steps must not be a divisor; its x is used at no step.
        x = np.clip((t - (length - decay)) / (decay or 1), 0.0, 1.0)
        rest = np.where(t < length, left(x), 0.0)
        if not stable_power:
            return lr_at(rest)
        stable = np.maximum(lr * (1 + t / timescale) ** -stable_power, floor)
        over = (x > 0) | (t >= length)
        # Before the decay s(t) itself, as in timm: floor + (s(t) - floor) would be rounded.
        return np.asarray(np.where(over, floor + (stable - floor) * rest, stable))

    return f


def remaining(shape: Shape, num_cycles: float, power: float, ratio: float) -> Curve:
    """Return a function from the completed part of a fall's time to the rest of its height."""
    match shape:
        case "cosine":
            wave = np.pi * (2 * num_cycles)
            return lambda x: np.asarray((1 + np.cos(wave * x)) / 2)
        case "one_minus_sqrt":
            return lambda x: 1 - np.sqrt(x)
        case "one_minus_square":
            return lambda x: 1 - x * x
        case "power":
            return lambda x: np.asarray(1 - x**power)
        case "exponential":
            return lambda x: np.asarray((ratio**x - ratio) / (1 - ratio))
    return lambda x: 1 - x
