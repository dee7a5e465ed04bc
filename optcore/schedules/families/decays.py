"""Schedules that decay for as long as the run goes: exponentials, inverse time, square roots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from optcore.schedules.base import (
    Dialectal,
    Misfit,
    ScheduleDialect,
    ScheduleSpec,
    at_least_a_step,
    finite_power,
)
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, steps_in


class Decay(Dialectal):
    """A schedule that loses a given part of lr in every stretch of *every* steps."""

    every: Duration = 1
    """Steps over which rate applies once; 1 makes it a rate per step."""
    staircase: bool = False
    """Whether lr changes only every so many steps: t / every is rounded down."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a stretch of no steps."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        yield from at_least_a_step("every", self.every, steps_per_epoch)


class Exponential(Decay):
    """
    Multiplied by *rate* every *every* steps, evenly.

    ::

        f(t) = lr * rate ** (t / every)

    References:
        torch 2.13 ExponentialLR and Paddle 3.3.1 ExponentialDecay (gamma; every = 1); TF 2.21
        tf.compat.v1.train.exponential_decay; Keras 3.15.1 ExponentialDecay; MindSpore 2.10
        ExponentialDecayLR and exponential_decay_lr.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = (
        "torch",
        "paddle",
        "mindspore",
        "keras",
        "tf1",
    )

    kind: Literal["exponential"]
    rate: float = Field(gt=0)
    """What is left of lr after every steps; gamma elsewhere."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also lr growing beyond all bounds."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        times = total_steps / max(1, steps_in(self.every, steps_per_epoch))
        yield from finite_power("rate", self.rate, times)


class NaturalExponential(Decay):
    """
    Exponential decay with the rate in the exponent.

    ::

        f(t)            = lr * exp(-rate * t / every)
        mindspore: f(t) = lr * exp(-rate * t), and with staircase
                          lr * exp(-rate * every * floor(t / every))

    MindSpore documents the first and computes the second; its dialect does what it computes.

    References:
        Paddle 3.3.1 NaturalExpDecay (gamma; every = 1); TF 2.21
        tf.compat.v1.train.natural_exp_decay; MindSpore 2.10 NaturalExpDecayLR and
        natural_exp_decay_lr.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("paddle", "mindspore", "tf1")

    kind: Literal["natural_exponential"]
    rate: float = Field(ge=0)
    """Decay constant."""


class InverseTime(Decay):
    """
    Lr divided by a line.

    ::

        f(t) = lr / (1 + rate * t / every)

    References:
        Paddle 3.3.1 InverseTimeDecay (gamma; every = 1); TF 2.21
        tf.compat.v1.train.inverse_time_decay; Keras 3.15.1 InverseTimeDecay; MindSpore 2.10
        InverseDecayLR and inverse_decay_lr.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("paddle", "mindspore", "keras", "tf1")

    kind: Literal["inverse_time"]
    rate: float = Field(ge=0)
    """How much the divisor grows over every steps."""


class Noam(Dialectal):
    """
    The Transformer's own: a linear rise of *warmup_steps*, then an inverse square root.

    ::

        f(t) = lr * d_model ** -0.5 * min(t ** -0.5, t * warmup_steps ** -1.5),  f(0) = 0

    Lr is a factor here; it is highest, lr * (d_model * warmup_steps) ** -0.5, at t =
    warmup_steps.

    References:
        Vaswani et al., Attention Is All You Need, 2017, section 5.3.
        https://arxiv.org/abs/1706.03762
        Paddle 3.3.1 NoamDecay.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("paddle",)
    AFTER: ClassVar[After] = "delay"

    kind: Literal["noam"]
    d_model: float = Field(gt=0)
    """Width of the model."""
    warmup_steps: Duration
    """Length of the rise."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a rise of no steps."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        yield from at_least_a_step("warmup_steps", self.warmup_steps, steps_per_epoch)

    def rise(self, *, total_steps: int, steps_per_epoch: int) -> int:
        """Return also the steps of its own rise."""
        before = super().rise(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        return min(total_steps, before + steps_in(self.warmup_steps, steps_per_epoch))


class InverseSqrt(ScheduleSpec):
    """
    The inverse square root of time; usually behind a warmup as long as *timescale*.

    ::

        f(t) = lr / sqrt(1 + t / timescale)

    Behind a delaying warmup of w = timescale steps that is lr * sqrt(w / t).

    References:
        transformers 5.23 get_inverse_sqrt_schedule; fairseq inverse_sqrt.
    """

    AFTER: ClassVar[After] = "delay"

    kind: Literal["inverse_sqrt"]
    timescale: Duration = 10_000
    """Steps after which lr is divided by sqrt(2)."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a timescale of no steps."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        yield from at_least_a_step("timescale", self.timescale, steps_per_epoch)
