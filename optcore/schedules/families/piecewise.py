"""Schedules in which lr is constant between given steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import (
    Example,
    Fraction,
    Rate,
    RunProblem,
    ScheduleSpec,
    Variants,
    at_least_a_step,
)
from optcore.schedules.dialects import Dialectal, ScheduleDialect, by_dialect
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, Epochs, Moment, RunLength, counted
from optcore.spec.errors import reject
from optcore.spec.limits import MAX_ENTRIES

REPEATING = frozenset({"paddle", "paddleocr", "keras", "tf1"})
"""Dialects that accept equal boundaries; Paddle's dialects also accept one at the first step."""


class Constant(Dialectal):
    """
    A constant lr, which may be multiplied by *factor* for the first *length* steps.

    ::

        t <  length:  f(t) = lr * factor
        t >= length:  f(t) = lr

    Without *length*, the factor applies to the whole run.

    References:
        torch 2.13 ConstantLR(factor, total_iters); PaddleOCR Const; MindSpore 2.10 WarmUpLR (a
        constant after a warmup); transformers 5.24 get_constant_schedule and
        get_constant_schedule_with_warmup; optax 0.2.8 constant_schedule and
        warmup_constant_schedule.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = (
        "torch",
        "paddleocr",
        "mindspore",
        "transformers",
        "optax",
    )
    AFTERS: ClassVar[Mapping[str, After]] = {"transformers": "delay", "optax": "delay"}
    EXAMPLE: ClassVar[Example] = {}
    VARIANTS: ClassVar[Variants] = {"factor 0.5 for 100": {"factor": 0.5, "length": 100}}

    kind: Literal["constant"]
    factor: Fraction = 1.0
    """The factor by which lr is multiplied."""
    length: Duration | None = None
    """How long the factor applies; null for the whole run."""

    def unused(self) -> Iterator[tuple[str, str]]:
        """Yield *length* if *factor* is 1, since *length* then has no effect."""
        if self.factor == 1:
            yield "length", "factor is 1"

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *length* rounds to 0 steps."""
        yield from super().problems_in(run)
        yield from at_least_a_step("length", self.length, run)

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning for a warmup of 0 steps in dialect optax."""
        yield from super().warnings_in(run)
        empty = self.warmup is not None and self.warmup_span(run) == 0
        if self.dialect == "optax" and empty:
            yield "schedule.warmup.length: lr never leaves start, since length is 0 steps"

    def without_rise(self, lr: float, run: RunLength) -> Curve:
        """
        Return the schedule as a function of t, for a warmup of 0 steps.

        In dialect optax, lr is the first lr of the warmup at every step.
        """
        if self.dialect != "optax" or self.warmup is None:
            return super().without_rise(lr, run)
        fraction = self.warmup.start_fraction
        start = self.warmup.start if fraction is None else lr * fraction
        return constant(lr=start, numbers=self.numbers)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        length = None if self.length is None else run.span(self.length)
        if self.recursive:
            return recursive_constant(lr=lr, factor=self.factor, length=length)
        return constant(lr=lr, factor=self.factor, length=length, numbers=self.numbers)


class Piecewise(Dialectal):
    """
    A given value of lr between given boundaries; the optimizer's own lr is not used.

    ::

        at_boundary new:  f(t) = values[number of boundaries <= t]
        at_boundary old:  f(t) = values[number of boundaries <  t]

    Frameworks differ at the step of a boundary. In Paddle, MindSpore, optax and torch the new value
    applies. In TF1 and Keras the old value still applies, so that lr changes one step later.

    Dialects paddle, paddleocr, keras and tf1 accept boundaries that leave a value unused. A value
    between two equal boundaries is never used. With *at_boundary* new, the first value is never
    used if the first boundary is step 0.

    With *interpolation*, lr is values[0] at t = 0 and values[i + 1] at boundaries[i]. In between,
    lr follows a line or half a cosine wave. After the last boundary, lr is constant.

    References:
        Paddle 3.3.1 PiecewiseDecay; MindSpore 2.10 piecewise_constant_lr; TF 2.21
        tf.compat.v1.train.piecewise_constant; Keras 3.15.1 PiecewiseConstantDecay; optax 0.2.8
        piecewise_constant_schedule and piecewise_interpolate_schedule, whose scales are factors
        from one value to the next.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = (
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "tf1",
        "optax",
    )
    # Boundaries are steps of the run, which a warmup must not move.
    AFTER: ClassVar[After] = "overlap"
    LATER: ClassVar[frozenset[str]] = frozenset({"interpolation"})
    EXAMPLE: ClassVar[Example] = {"boundaries": [100, {"epochs": 12}], "values": [1.0, 0.4, 0.1]}

    kind: Literal["piecewise"]
    boundaries: list[Moment] = Field(min_length=1, max_length=MAX_ENTRIES, fail_fast=True)
    """The steps at which the value changes, in increasing order."""
    values: list[Rate] = Field(min_length=2, max_length=MAX_ENTRIES + 1, fail_fast=True)
    """The lr before, between and after the boundaries, with one entry more than boundaries."""
    at_boundary: Literal["new", "old"] = by_dialect("new", keras="old", tf1="old")
    """Which value applies at the boundary itself."""
    interpolation: Literal["none", "linear", "cosine"] = "none"
    """Whether lr jumps from value to value (none), or moves along lines or cosines."""

    @model_validator(mode="after")
    def _interpolated_values_meet(self) -> Self:
        if self.interpolation != "none" and self.at_boundary == "old":
            reject(
                ["interpolation"],
                "interpolation must be 'none' if at_boundary is 'old' (the default in dialects "
                f"keras and tf1), got {self.interpolation!r}",
                self.interpolation,
            )
        return self

    @model_validator(mode="after")
    def _one_value_more(self) -> Self:
        expected = len(self.boundaries) + 1
        if len(self.values) != expected:
            reject(
                ["values"],
                f"values must have one entry more than boundaries: {expected} for "
                f"{len(self.boundaries)} boundaries, got {len(self.values)}",
                self.values,
            )
        return self

    @property
    def uses_lr(self) -> bool:
        """False: the schedule does not use the optimizer's own lr."""
        return False

    @property
    def num_boundaries(self) -> int:
        """The number of boundaries."""
        return len(self.boundaries)

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem for each boundary that is not after the previous boundary."""
        yield from super().problems_in(run)
        # The first value needs a step: its boundary is at least 1, or 0 if the old value applies.
        before: float = 0 if self.at_boundary == "new" else -1
        for i, boundary in enumerate(self.boundaries):
            step = self.moment(boundary, run)
            if step < before or (step == before and self.dialect not in REPEATING):
                yield RunProblem(
                    ("boundaries", i),
                    f"boundaries must increase, got {run.in_words(boundary)} "
                    f"after {counted(max(0, before), 'step')}",
                    boundary,
                )
            before = step

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield warnings for values and boundaries that are never reached."""
        yield from super().warnings_in(run)
        before = 0.0 if self.at_boundary == "new" else -1.0
        for i, boundary in enumerate(self.boundaries):
            step = self.moment(boundary, run)
            if step == before:
                yield (
                    f"schedule.boundaries[{i}]: values[{i}] is never used, since its boundaries "
                    f"are equal, at step {step:.12g}"
                )
            before = step
        yield from unreached(self, "boundaries", self.boundaries, run)

    def peak(self, lr: float) -> float | None:
        """Return the value that a warmup rises to in dialect optax: the first of *values*."""
        return self.values[0]

    def _formula(self, lr: float, run: RunLength) -> Curve:
        if self.interpolation != "none":
            return interpolated(
                boundaries=[self.moment(boundary, run) for boundary in self.boundaries],
                values=self.values,
                shape=self.interpolation,
                numbers=self.numbers,
            )
        return piecewise(
            boundaries=[self.moment(boundary, run) for boundary in self.boundaries],
            values=self.values,
            at_boundary=self.at_boundary,
            numbers=self.numbers,
        )


def unreached(
    spec: ScheduleSpec, name: str, moments: Sequence[int | Epochs], run: RunLength
) -> Iterator[str]:
    """Yield a warning for each of the *moments* in the field *name* that the run does not reach."""
    for i, moment in enumerate(moments):
        step = spec.offset(run) + run.span(moment)
        if step >= run.total_steps:
            yield (
                f"schedule.{name}[{i}]: step {step:.12g} is never reached in a run of "
                f"{counted(run.total_steps, 'step')}"
            )


def constant(
    *, lr: float, factor: float = 1.0, length: float | None = None, numbers: Numbers = DOUBLE
) -> Curve:
    """Return f(t) = lr * factor for t < length, else lr; without *length*, always lr * factor."""
    high = numbers.lr(lr)
    low = high * numbers(factor)
    if length is None:
        return lambda t: np.full_like(t, low)
    return lambda t: np.where(t < length, low, high)


def recursive_constant(*, lr: float, factor: float, length: float | None) -> Curve:
    """Return lr * factor before *length* and (lr * factor) / factor after it, in float32."""
    low = np.float32(lr) * np.float32(factor)
    # A factor of 0 would divide 0 by 0 at length; lr stays at 0.
    if length is None or factor == 0:
        return lambda t: np.full_like(t, low)
    # mindspore.experimental divides by the factor at the end, which does not always give lr back
    # exactly; torch 2.13 multiplies by 1 / factor.
    high = low / np.float32(factor)
    return lambda t: np.where(t < length, low, high)


def piecewise(
    *,
    boundaries: Sequence[float],
    values: Sequence[float],
    at_boundary: Literal["new", "old"] = "new",
    numbers: Numbers = DOUBLE,
) -> Curve:
    """Return f(t) = values[number of boundaries <= t], or with < t if *at_boundary* is old."""
    # Float64 in every dialect: frameworks compare boundaries with whole steps.
    edges = np.asarray(boundaries, np.float64)
    levels = np.asarray(values, np.float64).astype(numbers.dtype)
    side: Literal["left", "right"] = "right" if at_boundary == "new" else "left"

    def f(t: Array) -> Array:
        return np.asarray(levels[np.searchsorted(edges, t, side=side)])

    return f


def interpolated(
    *,
    boundaries: Sequence[float],
    values: Sequence[float],
    shape: Literal["linear", "cosine"],
    numbers: Numbers = DOUBLE,
) -> Curve:
    """Return values[0] at t = 0, values[i + 1] at boundaries[i], and a line or cosine between."""
    edges = np.asarray([0, *boundaries], np.float64)
    levels = np.asarray(values, np.float64).astype(numbers.dtype)
    # After the last boundary the next value is the same, over any number of steps.
    ahead = np.append(levels[1:], levels[-1])
    half = numbers(0.5)
    # Quotients of steps are float32 in optax, even with jax_enable_x64.
    part_of = replace(numbers, single=numbers.single or numbers.optax)
    spans = np.append(np.maximum(np.diff(edges), 1), 1).astype(part_of.dtype)
    pi, one = part_of(np.pi), part_of(1)

    def f(t: Array) -> Array:
        part = np.searchsorted(edges, t, side="right") - 1
        x = part_of.steps(t - edges[part]) / spans[part]
        a, b = levels[part], ahead[part]
        # Both in optax's order of operations.
        if shape == "linear":
            return np.asarray((b - a) * x + a)
        # Limited to one period: the cosine of float32 numbers is exact only up to 1,000.
        wave = part_of.cos(pi * np.minimum(x, one))
        return np.asarray(b + (a - b) * half * (wave + one))

    return f
