"""Schedules made of schedules: chains, cycles, products, bounds, noise, epochs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.schedules.base import (
    Fraction,
    Misfit,
    Rate,
    ScheduleSpec,
    at_least_a_step,
    finite_power,
    in_words,
)
from optcore.schedules.families.piecewise import unreached
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, steps_in
from optcore.spec.errors import reject

if TYPE_CHECKING:
    from optcore.schedules.catalogue import Part

MAX_PARTS = 100
"""Schedules in one chain or product."""


class Around(ScheduleSpec):
    """A schedule around one other."""

    schedule: Part
    """What it changes."""

    @property
    def parts(self) -> Sequence[ScheduleSpec]:
        """The inner schedule."""
        return (self.schedule,)

    def inner(self, *, total_steps: int, steps_per_epoch: int) -> tuple[int, int]:
        """Return how many steps the inner schedule has, and how many make an epoch there."""
        return total_steps, steps_per_epoch

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also what is wrong with the inner schedule."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        total, per_epoch = self.inner(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        found = self.schedule.misfits(total_steps=total, steps_per_epoch=per_epoch)
        yield from below(("schedule",), found)

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield what the inner schedule warns of."""
        total, per_epoch = self.inner(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        for text in self.schedule.warnings(total_steps=total, steps_per_epoch=per_epoch):
            yield text.replace("schedule", "schedule.schedule", 1)

    def rise(self, *, total_steps: int, steps_per_epoch: int) -> int:
        """Return also what the inner schedule rises."""
        before = super().rise(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        total, per_epoch = self.inner(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        steps = self.schedule.rise(total_steps=total, steps_per_epoch=per_epoch)
        if per_epoch != steps_per_epoch:  # the inner one counts epochs
            steps *= steps_per_epoch
        return min(total_steps, before + steps)


class Chain(ScheduleSpec):
    """
    One schedule after another, each starting anew at its boundary.

    ::

        t <  boundaries[0]:                 f(t) = schedules[0](t)
        boundaries[i] <= t < the next one:  f(t) = schedules[i + 1](t - boundaries[i])

    A part that is "as long as the run" is as long as its place in the chain.

    References:
        torch 2.13 SequentialLR; optax 0.2.8 join_schedules.
    """

    AFTER: ClassVar[After] = "delay"

    kind: Literal["chain"]
    schedules: list[Part] = Field(min_length=1, max_length=MAX_PARTS)
    """The parts, in order."""
    boundaries: list[Duration] = Field(max_length=MAX_PARTS - 1)
    """First step of each part after the first, increasing."""

    @model_validator(mode="after")
    def _one_schedule_more(self) -> Self:
        expected = len(self.schedules) - 1
        if len(self.boundaries) != expected:
            reject(
                ["boundaries"],
                f"boundaries must have one entry less than schedules: {expected} for "
                f"{len(self.schedules)} schedules, got {len(self.boundaries)}",
                self.boundaries,
            )
        return self

    @property
    def parts(self) -> Sequence[ScheduleSpec]:
        """Those that follow each other."""
        return self.schedules

    @property
    def num_moments(self) -> int:
        """How many boundaries there are."""
        return len(self.boundaries)

    def lengths(self, *, total_steps: int, steps_per_epoch: int) -> list[int]:
        """Return how many steps each part has; at least 1, reached or not."""
        edges = [0, *(steps_in(b, steps_per_epoch) for b in self.boundaries)]
        edges.append(max(total_steps, edges[-1] + 1))
        return [max(1, stop - start) for start, stop in pairwise(edges)]

    def spans(self, steps: int, steps_per_epoch: int) -> Iterator[tuple[ScheduleSpec, int]]:
        """Yield each part with its place in the chain."""
        lengths = self.lengths(total_steps=steps, steps_per_epoch=steps_per_epoch)
        for part, length in zip(self.schedules, lengths, strict=True):
            yield part, min(length, steps)

    def rise(self, *, total_steps: int, steps_per_epoch: int) -> int:
        """Return also what the first part rises."""
        sizes = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
        length = self.lengths(**sizes)[0]
        first = self.schedules[0].rise(total_steps=length, steps_per_epoch=steps_per_epoch)
        return min(total_steps, super().rise(**sizes) + first)

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also boundaries that do not increase, and what is wrong with the parts."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        before = 0
        for i, boundary in enumerate(self.boundaries):
            step = steps_in(boundary, steps_per_epoch)
            if step <= before:
                yield Misfit(
                    ("boundaries", i),
                    f"boundaries must increase, got {in_words(boundary, steps_per_epoch)} "
                    f"after {before} steps",
                    boundary,
                )
            before = step
        lengths = self.lengths(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        for i, (part, length) in enumerate(zip(self.schedules, lengths, strict=True)):
            found = part.misfits(total_steps=length, steps_per_epoch=steps_per_epoch)
            yield from below(("schedules", i), found)

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield the boundaries that the run does not reach, and what the parts warn of."""
        yield from unreached(self, "boundaries", self.boundaries, total_steps, steps_per_epoch)
        lengths = self.lengths(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        for i, (part, length) in enumerate(zip(self.schedules, lengths, strict=True)):
            for text in part.warnings(total_steps=length, steps_per_epoch=steps_per_epoch):
                yield text.replace("schedule", f"schedule.schedules[{i}]", 1)


class Cycle(Around):
    """
    A schedule again and again.

    Writing i for floor(t / length)::

        f(t) = schedule(t - i * length) * factor ** i

    References:
        timm 1.0.31 cycle_mul = 1, cycle_decay; optax 0.2.8 sgdr_schedule.
    """

    AFTER: ClassVar[After] = "delay"

    kind: Literal["cycle"]
    length: Duration
    """Steps after which it starts again."""
    factor: float = Field(1.0, gt=0)
    """How much higher (or lower) each repetition is than the one before."""

    def inner(self, *, total_steps: int, steps_per_epoch: int) -> tuple[int, int]:
        """Return the steps of one repetition."""
        del total_steps
        return max(1, steps_in(self.length, steps_per_epoch)), steps_per_epoch

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a repetition of no steps, and lr growing beyond all bounds."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        yield from at_least_a_step("length", self.length, steps_per_epoch)
        times = total_steps / max(1, steps_in(self.length, steps_per_epoch))
        yield from finite_power("factor", self.factor, times)


class Scaled(Around):
    """
    A schedule, larger or smaller.

    ::

        f(t) = schedule(t) * factor
    """

    kind: Literal["scale"]
    factor: Fraction
    """What every value is multiplied with."""


class Product(ScheduleSpec):
    """
    Several schedules at once: what each leaves of lr, multiplied.

    ::

        f(t) = lr * (schedules[0](t) / lr) * (schedules[1](t) / lr) * ...

    References:
        torch 2.13 ChainedScheduler, of schedulers that multiply lr.
    """

    kind: Literal["product"]
    schedules: list[Part] = Field(min_length=1, max_length=MAX_PARTS)
    """The factors."""

    @property
    def parts(self) -> Sequence[ScheduleSpec]:
        """The factors."""
        return self.schedules

    def cost(self, steps: int, steps_per_epoch: int) -> int:
        """Return what the factors cost."""
        return super().cost(steps, steps_per_epoch) - steps

    def rise(self, *, total_steps: int, steps_per_epoch: int) -> int:
        """Return also what the factor that rises longest does."""
        sizes = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
        longest = max(part.rise(**sizes) for part in self.schedules)
        return min(total_steps, super().rise(**sizes) + longest)

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also what is wrong with the factors."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        for i, part in enumerate(self.schedules):
            found = part.misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
            yield from below(("schedules", i), found)

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield what the factors warn of."""
        for i, part in enumerate(self.schedules):
            for text in part.warnings(total_steps=total_steps, steps_per_epoch=steps_per_epoch):
                yield text.replace("schedule", f"schedule.schedules[{i}]", 1)


class Clamp(Around):
    """
    A schedule kept within bounds.

    ::

        f(t) = min(max(schedule(t), min), max)
    """

    kind: Literal["clamp"]
    min: Rate = 0.0
    """Lower bound."""
    max: Rate | None = None
    """Upper bound; null for none."""

    @model_validator(mode="after")
    def _bounds_do_not_cross(self) -> Self:
        if self.max is not None and self.max < self.min:
            reject(["max"], f"max must be at least min, got {self.max} and {self.min}", self.max)
        return self


class Noise(Around):
    """
    A schedule with noise on it; the noise of a step is always the same.

    Writing z(seed, t) for a standard normal number that the two alone decide, and n for
    std * z(seed, t), kept within -limit..limit::

        f(t) = schedule(t) * (1 + n)     from *begin* on

    A resumed run sees the same lr.

    References:
        timm 1.0.31 lr_noise (there the seed is noise_seed + t).
    """

    kind: Literal["noise"]
    std: float = Field(ge=0, le=10)
    """Standard deviation, relative to lr."""
    limit: float = Field(0.67, ge=0, le=1)
    """The largest relative change."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Which noise."""
    begin: Duration | None = None
    """Where the noise begins; null for the first step."""


class PerEpoch(Around):
    """
    A schedule that is asked once per epoch; its lr holds for the whole of it.

    ::

        f(t) = schedule(floor(t / steps_per_epoch))

    Inside it an epoch is one step: plain numbers count epochs.

    References:
        MindSpore 2.10 dynamic_lr lists; every scheduler whose step() is called once per epoch.
    """

    AFTER: ClassVar[After] = "overlap"

    kind: Literal["per_epoch"]

    def inner(self, *, total_steps: int, steps_per_epoch: int) -> tuple[int, int]:
        """Return the epochs of the run, a last short one counted."""
        return -(-total_steps // steps_per_epoch), 1


class Shift(Around):
    """
    A schedule that is entered later: what came before *by* is left out.

    ::

        f(t) = schedule(t + by)

    References:
        Paddle 3.3.1 last_epoch (by = last_epoch + 1): a run taken over from elsewhere.
    """

    kind: Literal["shift"]
    by: Duration
    """Steps to leave out."""

    def inner(self, *, total_steps: int, steps_per_epoch: int) -> tuple[int, int]:
        """Return the steps of the whole, those left out included."""
        return total_steps + steps_in(self.by, steps_per_epoch), steps_per_epoch

    def spans(self, steps: int, steps_per_epoch: int) -> Iterator[tuple[ScheduleSpec, int]]:
        """Yield the inner schedule with the steps left out."""
        yield self.schedule, steps + steps_in(self.by, steps_per_epoch)

    def cost(self, steps: int, steps_per_epoch: int) -> int:
        """Return also what the steps left out cost."""
        return super().cost(steps, steps_per_epoch) + steps_in(self.by, steps_per_epoch)

    def rise(self, *, total_steps: int, steps_per_epoch: int) -> int:
        """Return what is left of the rise after the steps left out."""
        own = ScheduleSpec.rise(self, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        total, _ = self.inner(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        whole = self.schedule.rise(total_steps=total, steps_per_epoch=steps_per_epoch)
        left = max(0, whole - steps_in(self.by, steps_per_epoch))
        return min(total_steps, own + left)


def below(path: tuple[str | int, ...], misfits: Iterator[Misfit]) -> Iterator[Misfit]:
    """Yield *misfits* with their paths below *path*."""
    for misfit in misfits:
        yield misfit._replace(path=(*path, *misfit.path))
