"""One cycle: lr rises to its peak and falls again, once per run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import Example, Rate, RunProblem, Variants, at_least_a_step
from optcore.schedules.dialects import Dialectal, ScheduleDialect, by_dialect
from optcore.schedules.families.piecewise import interpolated
from optcore.schedules.numerics.numbers import Array, Curve
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, RunLength
from optcore.spec.errors import reject


class OneCycle(Dialectal):
    """
    One rise to the peak, which is lr, and one fall, in a cycle of *length* steps.

    n is *length* and p is *pct_start*. s is *start*, or lr / *div_factor* if *start* is null. e is
    *end*, or s / *final_div_factor* if *end* is null. Each phase goes from one value to the next::

        two phases:    s at t = 0,  lr at p * n - 1,  e at n - 1
        three phases:  s at t = 0,  lr at p * n - 1,  s at 2 * p * n - 2,  e at n - 1

    Within a phase from a to b, x is the completed fraction (0..1) of the phase::

        cosine:  f(t) = b + (a - b) * (1 + cos(pi * x)) / 2
        linear:  f(t) = a + (b - a) * x

    After t = n - 1, lr stays at e if *past_end* is ``hold``. With ``go_on``, the last phase
    continues for one more step, as in torch and Paddle, and lr may become negative. torch and
    Paddle fail at the next step, so with ``go_on`` a run of more than n + 1 steps is an error.

    In dialect optax, phases end at whole steps. Two phases end at int(p * n) and at n. Three phases
    end at int(p * n), at int(q * n) and at n, where q is *pct_final*. If int(p * n) is 0, the cycle
    starts at its peak.

    Momentum can follow the same curve upside down. For a momentum that falls from 0.95 to 0.85 and
    rises again, give 0.95 for *start* and *end*, and 0.85 as the optimizer's momentum.

    References:
        Smith and Topin, Super-Convergence, 2018. https://arxiv.org/abs/1708.07120
        torch 2.13 OneCycleLR; Paddle 3.3.1 OneCycleLR; PaddleOCR OneCycle; optax 0.2.8
        cosine_onecycle_schedule and linear_onecycle_schedule (which has three phases).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle", "paddleocr", "optax")
    AFTERS: ClassVar[Mapping[str, After]] = {"optax": "delay"}
    # mindspore.experimental has no OneCycleLR to copy.
    ONLY_DOUBLE: ClassVar[bool] = True
    LATER: ClassVar[frozenset[str]] = frozenset({"pct_final"})
    EXAMPLE: ClassVar[Example] = {}
    VARIANTS: ClassVar[Variants] = {
        "three phases, linear": {"three_phase": True, "shape": "linear"}
    }

    kind: Literal["one_cycle"]
    length: Duration | None = None
    """The length of the cycle; null for the whole run."""
    pct_start: float = Field(0.3, ge=0, le=1)
    """The fraction of the cycle in which lr rises; below 0.5 with three phases. If the rise takes
    less than a step, as with 0, lr is already falling at the first update."""
    div_factor: float = Field(25.0, gt=0)
    """The ratio of lr to the first value."""
    start: Rate | None = None
    """The first value, as an absolute lr; replaces div_factor."""
    final_div_factor: float = Field(1e4, gt=0)
    """The ratio of the first value to the last value."""
    end: Rate | None = by_dialect(None, paddle=1e-4, ge=0)
    """The last value, as an absolute lr; replaces final_div_factor."""
    shape: Literal["cosine", "linear"] = "cosine"
    """The shape of each phase."""
    three_phase: bool = False
    """Whether lr falls in two phases: to its first value, in as many steps as the rise takes, and
    then to its last value. In optax, the first of these two phases ends at pct_final."""
    pct_final: float | None = by_dialect(None, optax=0.85, gt=0, le=1)
    """The fraction of the cycle that the first two of three phases take; only in dialect optax."""
    past_end: Literal["hold", "go_on"] = by_dialect(
        "hold", torch="go_on", paddle="go_on", paddleocr="go_on"
    )
    """Whether lr, after the cycle, stays at its last value (hold) or continues the last phase
    (go_on)."""

    @model_validator(mode="after")
    def _three_phases_fit(self) -> Self:
        if self.dialect != "optax" and self.three_phase and self.pct_start >= 0.5:  # noqa: PLR2004
            reject(
                ["pct_start"],
                f"pct_start must be below 0.5 with three phases, got {self.pct_start}",
                self.pct_start,
            )
        return self

    @model_validator(mode="after")
    def _only_optax_has_a_pct_final(self) -> Self:
        optax = self.dialect == "optax"
        if not optax and self.pct_final is not None:
            reject(
                ["pct_final"],
                f"pct_final must be null in dialect {self.dialect}, got {self.pct_final}: only "
                f"dialect optax has a pct_final",
                self.pct_final,
            )
        if optax and not self.three_phase and self.pct_final != 0.85:  # noqa: PLR2004
            reject(
                ["pct_final"],
                f"pct_final must be 0.85 (the default) if three_phase is false, "
                f"got {self.pct_final}",
                self.pct_final,
            )
        return self

    @model_validator(mode="after")
    def _optax_multiplies_and_holds(self) -> Self:
        if self.dialect != "optax":
            return self
        if self.past_end == "go_on":
            reject(["past_end"], "past_end must be 'hold' in dialect optax, got 'go_on'", "go_on")
        if self.start == 0:
            reject(
                ["start"],
                f"start must be positive in dialect optax, where start is multiplied by factors, "
                f"got {self.start}",
                self.start,
            )
        return self

    def unused(self) -> Iterator[tuple[str, str]]:
        """Yield the ratios that *start* and *end* replace."""
        if self.start is not None:
            yield "div_factor", f"start is {self.start:g}"
        if self.end is not None:
            yield "final_div_factor", f"end is {self.end:g}"

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return the number of warmup steps, including the steps up to the peak."""
        before = super().num_warmup_steps(run)
        length = run.span(self.length)
        if self.dialect == "optax":
            return min(run.total_steps, before + int(self.pct_start * length))
        return min(run.total_steps, before + max(0, math.ceil(self.pct_start * length) - 1))

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if a phase has no steps, or if torch or Paddle would fail."""
        yield from super().problems_in(run)
        yield from at_least_a_step("length", self.length, run)
        length = run.span(self.length)
        # The peak is at pct_start * length - 1. Before the first step it is never reached; at the
        # first step the rise would have no length, by which torch and Paddle divide.
        if self.dialect != "optax" and self.pct_start * length == 1:
            yield RunProblem(
                ("pct_start",),
                f"pct_start must not give exactly 1 of the {length:.12g} steps to the rise, "
                f"got {self.pct_start}",
                self.pct_start,
            )
        # After a rise that takes the whole cycle, there is no last phase that continues.
        longest = self.offset(run) + length + (self.pct_start < 1)
        if self.past_end == "go_on" and run.total_steps > longest:
            got = "all of it" if self.length is None else run.in_words(self.length)
            yield RunProblem(
                ("length",),
                f"length must leave at most 1 of the {run.total_steps} steps of the run after the "
                f"cycle, got {got}: {self.dialect} fails at the second; use past_end hold",
                self.length,
            )

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning if the peak would be at or before the first step."""
        yield from super().warnings_in(run)
        rise = self.pct_start * run.span(self.length)
        if self.dialect == "optax" and rise < 1:
            yield "schedule.pct_start: lr starts at its peak, since the rise comes to 0 steps"
        elif rise < 1:
            yield (
                f"schedule.pct_start: lr never reaches its peak: the rise is {rise:.3g} steps, so "
                "that lr is already falling at the first update"
            )

    def _formula(self, lr: float, run: RunLength) -> Curve:
        start = lr / self.div_factor if self.start is None else self.start
        if self.dialect == "optax":
            return self._products(lr, start, max(1, run.steps(self.length)))
        return one_cycle(
            lr=lr,
            length=run.span(self.length),
            pct_start=self.pct_start,
            start=start,
            end=start / self.final_div_factor if self.end is None else self.end,
            shape=self.shape,
            three_phase=self.three_phase,
            past_end=self.past_end,
        )

    def _products(self, lr: float, start: float, length: int) -> Curve:
        """Return the curve as optax computes it: a product of factors at whole steps."""
        end = start / self.final_div_factor if self.end is None else self.end
        factors = {int(self.pct_start * length): lr / start}
        if self.three_phase and self.pct_final is not None:
            # As in optax, a phase replaces the one before it if both end at the same step.
            factors[int(self.pct_final * length)] = start / lr
        factors[length] = end / start if self.three_phase else end / lr
        steps = sorted(factors)
        levels = np.asarray([start, *(factors[step] for step in steps)], self.numbers.dtype)
        return interpolated(
            boundaries=steps,
            values=np.multiply.accumulate(levels).tolist(),
            shape=self.shape,
            numbers=self.numbers,
        )


def one_cycle(
    *,
    lr: float,
    length: float,
    pct_start: float,
    start: float,
    end: float,
    shape: Literal["cosine", "linear"] = "cosine",
    three_phase: bool = False,
    past_end: Literal["hold", "go_on"] = "hold",
) -> Curve:
    """Return the curve that `OneCycle` documents for all dialects but optax."""
    # Not rounded, as in torch: the peak may be between two steps, and no step then reaches it.
    peak = pct_start * length - 1
    edges = [0.0, peak, 2 * pct_start * length - 2] if three_phase else [0.0, peak]
    edges.append(float(length - 1))
    levels = [start, lr, start, end] if three_phase else [start, lr, end]
    begin, levels_from, levels_to = (
        np.array(edges[:-1]),
        np.array(levels[:-1]),
        np.array(levels[1:]),
    )
    span = np.diff(edges)
    inner = np.array(edges[1:-1])

    def f(t: Array) -> Array:
        at = np.minimum(t, length - 1) if past_end == "hold" else t
        # At the edge itself the previous phase still applies, as in torch.
        phase = np.searchsorted(inner, at, side="left")
        x = (at - begin[phase]) / span[phase]
        a, b = levels_from[phase], levels_to[phase]
        # Both in torch's order of operations.
        if shape == "linear":
            return np.asarray((b - a) * x + a)
        return np.asarray(b + (a - b) / 2.0 * (np.cos(np.pi * x) + 1))

    return f
