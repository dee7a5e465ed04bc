"""Schedules that come back: restarts, two-step and linear cosines, one-cycle, cyclic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.schedules.base import (
    Dialectal,
    Misfit,
    Rate,
    ScheduleDialect,
    at_least_a_step,
    by_dialect,
    counted,
    finite_power,
    in_words,
)
from optcore.schedules.families.annealing import Fall
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, steps_in
from optcore.spec.errors import reject
from optcore.spec.limits import MAX_VALUES


class CosineRestarts(Fall, Dialectal):
    """
    Cosines one after another: cycle i takes length * t_mul ** i steps and starts at m_mul ** i.

    Writing i for the number of cycles that are over, x for how far the current one is (0..1) and
    e for *end*, or for lr * *end_fraction*::

        f(t) = e + (lr - e) * m_mul ** i * (1 + cos(pi * x)) / 2

    The first step of a cycle is at its peak. Where cycles grow, TF and Keras find i from a
    logarithm in float32, whose rounding may put such a step at the end of the cycle before; the
    plain form computes the edges exactly.

    References:
        Loshchilov and Hutter, SGDR, 2017, section 3. https://arxiv.org/abs/1608.03983
        torch 2.13 CosineAnnealingWarmRestarts; Paddle 3.3.1 CosineAnnealingWarmRestarts; TF 2.21
        tf.compat.v1.train.cosine_decay_restarts; Keras 3.15.1 CosineDecayRestarts.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle", "keras", "tf1")

    kind: Literal["cosine_restarts"]
    length: Duration
    """Steps of the first cycle."""
    t_mul: float = Field(1.0, ge=1, le=1000)
    """How much longer each cycle is than the one before."""
    m_mul: float = Field(1.0, ge=0)
    """How much higher (or lower) each cycle starts than the one before."""
    edges: Literal["exact", "logarithm"] = by_dialect("exact", keras="logarithm", tf1="logarithm")
    """How the cycle of a step is found."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also peaks that grow beyond all bounds."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        cycles = total_steps / max(1, steps_in(self.length, steps_per_epoch))
        yield from finite_power("m_mul", self.m_mul, cycles)


class CyclicalCosine(Fall, Dialectal):
    """
    The same cosine again and again, jumping back to lr.

    Writing e for *end*, or for lr * *end_fraction*::

        f(t) = e + (lr - e) * (1 + cos(pi * (t mod length) / length)) / 2

    References:
        PaddleOCR CyclicalCosine (cycle, in epochs; its T_max is not used).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("paddleocr",)

    kind: Literal["cyclical_cosine"]
    length: Duration
    """Steps of a cycle."""


class TwoStepCosine(Fall, Dialectal):
    """
    A cosine as if the run had *first* steps, and after those one over the whole length.

    Writing e for *end*, or for lr * *end_fraction*::

        t <= first:  f(t) = e + (lr - e) * (1 + cos(pi * t / first)) / 2
        t >  first:  f(t) = e + (lr - e) * (1 + cos(pi * t / length)) / 2

    At first + 1, lr jumps up. PaddleOCR computes it step from step unless there is a warmup, and
    from an lr of 0 never gets up again before length + 1: *after_first* ``zero``.

    References:
        PaddleOCR TwoStepCosine (first is 200 epochs), ppocr/optimizer/lr_scheduler.py.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("paddleocr",)

    kind: Literal["two_step_cosine"]
    first: Duration
    """Length of the first cosine."""
    after_first: Literal["jump", "zero"] = Field(
        default_factory=lambda data: (
            "zero" if data.get("dialect") == "paddleocr" and data.get("warmup") is None else "jump"
        ),
        json_schema_extra={"defaults": {"plain": "jump", "paddleocr": "zero"}},
    )
    """Whether the second cosine takes over at once; in dialect paddleocr with a warmup, too."""
    past_end: Literal["hold", "rise"] = by_dialect("hold", paddleocr="rise")
    """What lr does after length."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a first cosine of no steps."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        yield from at_least_a_step("first", self.first, steps_per_epoch)

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield also that lr stays at its end."""
        yield from super().warnings(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        first = self.offset(steps_per_epoch) + steps_in(self.first, steps_per_epoch)
        if self.after_first == "zero" and first < total_steps - 1:
            yield (
                f"schedule.after_first: lr stays at its end after step {first}, as PaddleOCR's "
                "does; jump starts the second cosine there"
            )


class UnderALine(Dialectal):
    """What the two linear cosines share."""

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("tf1",)

    length: Duration | None = None
    """How long it takes; null for the whole run."""
    num_periods: float = Field(0.5, ge=0)
    """Waves over the length."""
    alpha: float = Field(0.0, ge=0)
    """Added to the line."""
    beta: float = Field(0.001, ge=0)
    """Added to the product."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a length of no steps."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        yield from at_least_a_step("length", self.length, steps_per_epoch)


class LinearCosine(UnderALine):
    """
    A cosine wave under a falling line.

    Writing x for min(t, length) / length and c for (1 + cos(pi * 2 * num_periods * x)) / 2::

        f(t) = lr * ((alpha + 1 - x) * c + beta)

    It starts at lr * (1 + alpha + beta), above lr.

    References:
        Bello et al., Neural Optimizer Search with Reinforcement Learning, 2017, section 5.
        https://arxiv.org/abs/1709.07417
        TF 2.21 tf.compat.v1.train.linear_cosine_decay.
    """

    kind: Literal["linear_cosine"]


class NoisyLinearCosine(UnderALine):
    """
    The linear cosine with noise on its line, which dies away.

    Writing x for min(t, length) / length, c for (1 + cos(pi * 2 * num_periods * x)) / 2 and
    z(seed, t) for a standard normal number that the two alone decide::

        n    = z(seed, t) * sqrt(initial_variance / (1 + min(t, length)) ** variance_decay)
        f(t) = lr * ((alpha + 1 - x + n) * c + beta)

    TF draws fresh noise at every call, so that no run is repeated and none resumed exactly; here
    the noise of a step is always the same. It makes lr negative where n < -(alpha + 1 - x): put
    a clamp around it.

    References:
        TF 2.21 tf.compat.v1.train.noisy_linear_cosine_decay.
    """

    kind: Literal["noisy_linear_cosine"]
    initial_variance: float = Field(1.0, ge=0)
    """Of the noise at the first step."""
    variance_decay: float = Field(0.55, ge=0)
    """How fast it dies away."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Which noise."""


class OneCycle(Dialectal):
    """
    Up to lr and down again, in one cycle as long as the run; lr is its peak.

    Writing n for *length*, p for *pct_start*, s for *start*, or for lr / *div_factor*, and e for
    *end*, or for s / *final_div_factor*, each phase runs from one value to the next::

        two phases:    s at 0,  lr at p * n - 1,  e at n - 1
        three phases:  s at 0,  lr at p * n - 1,  s at 2 * p * n - 2,  e at n - 1

    Between a at 0 and b at 1: cosine  b + (a - b) * (1 + cos(pi * x)) / 2, linear  a + (b - a) * x.
    Past n - 1 the end holds; torch and Paddle run the last phase on for one step, which may take lr
    below 0, and fail at the next: in their dialects a run of more than n + 1 steps is an error.

    The same curve does for momentum, turned over: *start* and *end* 0.95, value 0.85.

    References:
        Smith and Topin, Super-Convergence, 2018. https://arxiv.org/abs/1708.07120
        torch 2.13 OneCycleLR; Paddle 3.3.1 OneCycleLR; PaddleOCR OneCycle.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle", "paddleocr")

    kind: Literal["one_cycle"]
    length: Duration | None = None
    """How long the cycle is; null for the whole run."""
    pct_start: float = Field(0.3, gt=0, lt=1)
    """Part of it that lr rises; below 0.5 with three phases."""
    div_factor: float = Field(25.0, gt=0)
    """lr over its first value."""
    start: Rate | None = None
    """First value, absolute, instead of div_factor."""
    final_div_factor: float = Field(1e4, gt=0)
    """The first value over the last."""
    end: Rate | None = by_dialect(None, paddle=1e-4, ge=0)
    """Last value, absolute, instead of final_div_factor."""
    shape: Literal["cosine", "linear"] = "cosine"
    """Of each phase."""
    three_phase: bool = False
    """Whether lr first comes down as it went up, and then to its end."""
    past_end: Literal["hold", "go_on"] = by_dialect(
        "hold", torch="go_on", paddle="go_on", paddleocr="go_on"
    )
    """What lr does at length and after."""

    @model_validator(mode="after")
    def _three_phases_fit(self) -> Self:
        if self.three_phase and self.pct_start >= 0.5:  # noqa: PLR2004
            reject(
                ["pct_start"],
                f"pct_start must be below 0.5 with three phases, got {self.pct_start}",
                self.pct_start,
            )
        return self

    def rise(self, *, total_steps: int, steps_per_epoch: int) -> int:
        """Return also the steps up to its peak."""
        before = super().rise(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        length = total_steps if self.length is None else steps_in(self.length, steps_per_epoch)
        return min(total_steps, before + max(0, math.ceil(self.pct_start * length) - 1))

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also phases of no steps, and runs that torch and Paddle would fail in."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        yield from at_least_a_step("length", self.length, steps_per_epoch)
        length = total_steps if self.length is None else steps_in(self.length, steps_per_epoch)
        if self.pct_start * length <= 1 or (1 - self.pct_start) * length <= 0:
            yield Misfit(
                ("pct_start",),
                f"pct_start must leave more than 1 step of {length} to the rise, "
                f"got {self.pct_start}",
                self.pct_start,
            )
        longest = self.offset(steps_per_epoch) + length + 1
        if self.past_end == "go_on" and total_steps > longest:
            got = "all of it" if self.length is None else in_words(self.length, steps_per_epoch)
            yield Misfit(
                ("length",),
                f"length must leave at most 1 step of the run of {total_steps} behind the cycle, "
                f"where {self.dialect} fails, got {got}; use past_end hold",
                self.length,
            )


Scale = Annotated[float, Field(ge=0)]


class Cyclic(Dialectal):
    """
    A triangle wave between *base* and lr; lr is its peak.

    Writing i for the number of cycles that are over, and h for the height in the current one,
    which rises from 0 to 1 over *up* steps and falls to 0 over *down*::

        f(t) = base + (lr - base) * h * s
        triangular   s = 1
        triangular2  s = 1 / 2 ** i
        exp_range    s = gamma ** t
        scales       s = scales[i], or scales[t] with scale_per step; the last one holds

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017.
        https://arxiv.org/abs/1506.01186
        torch 2.13 CyclicLR; Paddle 3.3.1 CyclicLR (scale_fn becomes scales).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle")
    AFTER: ClassVar[After] = "delay"

    kind: Literal["cyclic"]
    base: Rate
    """lr at the bottom of the wave."""
    up: Duration = 2000
    """Steps of the rise."""
    down: Duration | None = None
    """Steps of the fall; null for as many."""
    mode: Literal["triangular", "triangular2", "exp_range", "scales"] = "triangular"
    """How the height changes from cycle to cycle."""
    gamma: float = Field(1.0, gt=0)
    """Of exp_range."""
    scales: list[Scale] | None = Field(None, min_length=1, max_length=MAX_VALUES, fail_fast=True)
    """Heights, of mode scales."""
    scale_per: Literal["cycle", "step"] = "cycle"
    """Whether there is one of scales per cycle or per step."""

    @model_validator(mode="after")
    def _scales_are_given(self) -> Self:
        if (self.mode == "scales") != (self.scales is not None):
            rule = "must be given" if self.scales is None else "must not be given"
            reject(["scales"], f"scales {rule} where mode is {self.mode}", self.scales)
        return self

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a wave of no steps."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        yield from at_least_a_step("up", self.up, steps_per_epoch)
        yield from at_least_a_step("down", self.down, steps_per_epoch)
        if self.mode == "exp_range":
            yield from finite_power("gamma", self.gamma, total_steps)

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield that the run ends before the first peak."""
        peak = self.offset(steps_per_epoch) + steps_in(self.up, steps_per_epoch)
        if peak >= total_steps:
            yield (
                f"schedule.up: lr never reaches its peak: that is at step {peak}, the run ends "
                f"after {counted(total_steps, 'step')}"
            )
