"""Schedules made of several: one after another, or multiplied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import Example, RunProblem, ScheduleSpec, below
from optcore.schedules.families.piecewise import unreached
from optcore.schedules.numerics.numbers import Array, Curve
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, RunLength
from optcore.spec.errors import reject

if TYPE_CHECKING:
    # The catalogue imports this module, and puts Part into its fields by model_rebuild.
    from optcore.schedules.catalogue import Part

MAX_PARTS = 100
"""Schedules in one chain or product."""

COSINE = {"kind": "cosine"}


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

    # Each part begins anew, the first one after the warmup.
    AFTER: ClassVar[After] = "delay"
    EXAMPLE: ClassVar[Example] = {
        "schedules": [{"kind": "linear", "start_fraction": 0.2, "end": 1.0}, COSINE],
        "boundaries": [100],
    }

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
    def num_boundaries(self) -> int:
        """How many boundaries there are."""
        return len(self.boundaries)

    def lengths(self, run: RunLength) -> list[RunLength]:
        """Return the length of each part: at least 1 step, whether the run reaches it or not."""
        edges = [0, *(run.steps(boundary) for boundary in self.boundaries)]
        # A part that the run does not reach has a length as well, to be checked with.
        edges.append(max(run.total_steps, edges[-1] + 1))
        # problems_in asks for lengths also where it reports that boundaries do not increase.
        steps = [max(1, stop - start) for start, stop in pairwise(edges)]
        return [RunLength(each, run.steps_per_epoch) for each in steps]

    def parts_in(self, run: RunLength) -> Iterator[tuple[ScheduleSpec, RunLength]]:
        """Yield each part with its place in the chain."""
        for part, length in zip(self.schedules, self.lengths(run), strict=True):
            # A boundary may be far beyond the run: its part is not computed up to there.
            yield part, length._replace(total_steps=min(length.total_steps, run.total_steps))

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return also those of the first part."""
        first = self.schedules[0].num_warmup_steps(self.lengths(run)[0])
        return min(run.total_steps, super().num_warmup_steps(run) + first)

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Yield also boundaries that do not increase, and what is wrong with the parts."""
        yield from super().problems_in(run)
        before = 0
        for i, boundary in enumerate(self.boundaries):
            step = run.steps(boundary)
            if step <= before:
                yield RunProblem(
                    ("boundaries", i),
                    f"boundaries must increase, got {run.in_words(boundary)} after {before} steps",
                    boundary,
                )
            before = step
        for i, (part, length) in enumerate(zip(self.schedules, self.lengths(run), strict=True)):
            yield from below(("schedules", i), part.problems_in(length))

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Yield the boundaries that the run does not reach, and what the parts warn of."""
        yield from unreached(self, "boundaries", self.boundaries, run)
        for i, (part, length) in enumerate(zip(self.schedules, self.lengths(run), strict=True)):
            for text in part.warnings_in(length):
                yield text.replace("schedule", f"schedule.schedules[{i}]", 1)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        parts = zip(self.schedules, self.lengths(run), strict=True)
        return chain(
            [part.curve(lr, length) for part, length in parts],
            boundaries=[run.steps_or_one(boundary) for boundary in self.boundaries],
        )


class Product(ScheduleSpec):
    """
    Several schedules at once: what each leaves of lr, multiplied.

    ::

        f(t) = lr * (schedules[0](t) / lr) * (schedules[1](t) / lr) * ...

    References:
        torch 2.13 ChainedScheduler, of schedulers that multiply lr.
    """

    EXAMPLE: ClassVar[Example] = {"schedules": [COSINE, {"kind": "cyclic", "base": 0.5, "up": 20}]}

    kind: Literal["product"]
    schedules: list[Part] = Field(min_length=1, max_length=MAX_PARTS)
    """The factors."""

    @property
    def parts(self) -> Sequence[ScheduleSpec]:
        """The factors."""
        return self.schedules

    def cost(self, run: RunLength) -> int:
        """Return what the factors cost."""
        return super().cost(run) - run.total_steps

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return also those of the factor that has most."""
        longest = max(part.num_warmup_steps(run) for part in self.schedules)
        return min(run.total_steps, super().num_warmup_steps(run) + longest)

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Yield also what is wrong with the factors."""
        yield from super().problems_in(run)
        for i, part in enumerate(self.schedules):
            yield from below(("schedules", i), part.problems_in(run))

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Yield what the factors warn of."""
        for i, part in enumerate(self.schedules):
            for text in part.warnings_in(run):  # each begins with the path of its field
                yield text.replace("schedule", f"schedule.schedules[{i}]", 1)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return product([part.curve(lr, run) for part in self.schedules], lr=lr)


def chain(curves: Sequence[Curve], *, boundaries: Sequence[int]) -> Curve:
    """Return curves[i + 1](t - boundaries[i]) between the boundaries i and i + 1."""
    starts = np.asarray([0, *boundaries], np.float64)

    def f(t: Array) -> Array:
        part = np.searchsorted(starts, t, side="right") - 1
        lr = np.empty(t.shape, np.float64)
        for i, curve in enumerate(curves):
            here = part == i
            if here.any():
                # At its own steps alone: no curve is defined before its 0.
                lr[here] = curve(t[here] - starts[i])
        return lr

    return f


def product(curves: Sequence[Curve], *, lr: float) -> Curve:
    """Return f(t) = lr * (curves[0](t) / lr) * (curves[1](t) / lr) * ..."""

    def f(t: Array) -> Array:
        # The first curve as it is: dividing it by lr and multiplying again may round it twice.
        found = np.asarray(curves[0](t))
        for curve in curves[1:]:
            # An lr of 0 makes it NaN, which is refused where the run is checked.
            found = found * (curve(t) / lr)
        return found

    return f
