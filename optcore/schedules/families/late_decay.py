"""Schedules that stay near lr for most of the run and fall late in the run: REX and WSD."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import Example, RunProblem, Variants, at_least_a_step
from optcore.schedules.dialects import Dialectal, ScheduleDialect, by_dialect
from optcore.schedules.families.annealing import Annealing, between
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve
from optcore.schedules.warmup import After
from optcore.spec.duration import Moment, RunLength, counted
from optcore.spec.errors import reject


class Rex(Annealing):
    """
    Reflected exponential: lr falls slowly at first, and then ever faster, to *end*.

    Writing x for min(t, length) / length and e for *end*, or for lr * *end_fraction* if that is
    given::

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


Shape = Literal["linear", "cosine", "one_minus_sqrt", "one_minus_square"]


class WarmupStableDecay(Annealing, Dialectal):
    """
    A constant lr, then a fall to *end* over the last *decay* steps; with a warmup, a trapezoid.

    Writing x for (t - (length - decay)) / decay, limited to 0..1, and e for *end*, or for
    lr * *end_fraction* if that is given::

        linear           f(t) = e + (lr - e) * (1 - x)
        cosine           f(t) = e + (lr - e) * (1 + cos(pi * x)) / 2
        one_minus_sqrt   f(t) = e + (lr - e) * (1 - sqrt(x))
        one_minus_square f(t) = e + (lr - e) * (1 - x ** 2)

    With *num_cycles*, the pi of the cosine becomes 2 * pi * num_cycles; lr is e from t = length on.
    In dialect transformers, a *decay* longer than *length* begins in the middle of its fall.

    References:
        Hu et al., MiniCPM, 2024, section 4. https://arxiv.org/abs/2404.06395
        Hagele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training
        Durations, 2024 (1 - sqrt). https://arxiv.org/abs/2405.18392
        transformers 5.24 get_wsd_schedule.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("transformers",)
    # The fall ends with the run: a warmup takes its steps from the constant part.
    AFTER: ClassVar[After] = "overlap"
    EXAMPLE: ClassVar[Example] = {"decay": 100, "warmup": {"length": 40}}
    VARIANTS: ClassVar[Variants] = {"one_minus_sqrt": {"decay": 100, "shape": "one_minus_sqrt"}}

    kind: Literal["wsd"]
    decay: Moment
    """How long the fall takes, which is the last part of length; may be 0 in dialect
    transformers."""
    shape: Shape = by_dialect("linear", transformers="cosine")
    """The shape of the fall."""
    num_cycles: float = Field(0.5, gt=0, le=1e6)
    """The number of waves in the fall, where its shape is cosine: 0.5 is one fall."""

    @model_validator(mode="after")
    def _only_a_cosine_has_cycles(self) -> Self:
        if self.num_cycles != 0.5 and self.shape != "cosine":  # noqa: PLR2004
            reject(
                ["num_cycles"],
                f"num_cycles must be 0.5 unless shape is cosine, got {self.num_cycles}",
                self.num_cycles,
            )
        return self

    @classmethod
    def warmup_defaults(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the start of the warmup, which is the schedule's end in transformers."""
        warmup = data["warmup"]
        given = warmup.get("start") is not None or warmup.get("start_fraction") is not None
        if data.get("dialect") != "transformers" or given:
            return {}
        if data.get("end_fraction") is not None:
            return {"start_fraction": data["end_fraction"]}
        return {"start": data.get("end", 0.0)}

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *decay* comes to 0 steps or is longer than *length*."""
        yield from super().problems_in(run)
        if self.dialect == "transformers":
            return
        yield from at_least_a_step("decay", self.decay, run)
        length = run.span(self.length)
        decay = run.span(self.decay)
        if decay > length:
            yield RunProblem(
                ("decay",),
                f"decay must be at most the length of {counted(length, 'step')}, got {decay:.12g}",
                self.decay,
            )

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning if the fall begins before the run or during the warmup."""
        yield from super().warnings_in(run)
        stable = run.span(self.length) - run.span(self.decay)
        if self.dialect == "transformers" and stable < self.num_warmup_steps(run):
            yield (
                "schedule.decay: the fall begins before the warmup is over; after the warmup, lr "
                "jumps into the middle of the fall"
            )

    def peak(self, lr: float) -> float | None:
        """Return the value that a warmup rises to in dialect transformers."""
        return lr

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return warmup_stable_decay(
            lr=lr,
            length=run.span(self.length),
            decay=run.span(self.decay),
            shape=self.shape,
            num_cycles=self.num_cycles,
            **self._ends(),
        )


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
    shape: Shape,
    num_cycles: float = 0.5,
    end: float = 0.0,
    end_fraction: float | None = None,
) -> Curve:
    """Return f(t) = lr up to t = length - decay, then a fall to the end value at t = length."""
    lr_at = between(lr, end, end_fraction, DOUBLE)
    wave = np.pi * (2 * num_cycles)

    def left(x: Array) -> Array:
        if shape == "cosine":
            return np.asarray((1 + np.cos(wave * x)) / 2)
        if shape == "one_minus_sqrt":
            return np.asarray(1 - np.sqrt(x))
        return 1 - (x if shape == "linear" else x * x)

    def f(t: Array) -> Array:
        # A fall without steps is not divided by: its x is used at no step.
        x = np.clip((t - (length - decay)) / (decay or 1), 0.0, 1.0)
        return lr_at(np.where(t < length, left(x), 0.0))

    return f
