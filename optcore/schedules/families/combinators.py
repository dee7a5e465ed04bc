"""Schedules that contain several others: in sequence (chain) or multiplied (product)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from optcore.schedules.base import Example, RunProblem, ScheduleSpec, Variants, below
from optcore.schedules.dialects import Dialectal, ScheduleDialect
from optcore.schedules.families.chained import chained, refusals
from optcore.schedules.families.piecewise import unreached
from optcore.schedules.numerics.numbers import Array, Curve
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, RunLength, counted
from optcore.spec.errors import reject

if TYPE_CHECKING:
    # The catalogue imports this module, and puts Part into its fields by model_rebuild.
    from optcore.schedules.catalogue import Part

MAX_PARTS = 100
"""The largest number of schedules in one chain or product."""

COSINE = {"kind": "cosine"}


class Chain(ScheduleSpec):
    """
    Several schedules in sequence: at each boundary the next schedule begins, with t = 0.

    ::

        t < boundaries[0]:                       f(t) = schedules[0](t)
        boundaries[i] <= t < boundaries[i + 1]:  f(t) = schedules[i + 1](t - boundaries[i])

    The last schedule continues to the end of the run. For a schedule inside the chain, "the whole
    run" means the steps from the beginning of that schedule to the next boundary.

    References:
        torch 2.13 SequentialLR; optax 0.2.8 join_schedules.
    """

    # Each part starts from its own t = 0, and the first part starts after the warmup.
    AFTER: ClassVar[After] = "delay"
    EXAMPLE: ClassVar[Example] = {
        "schedules": [{"kind": "linear", "start_fraction": 0.2, "end": 1.0}, COSINE],
        "boundaries": [100],
    }

    kind: Literal["chain"]
    schedules: list[Part] = Field(min_length=1, max_length=MAX_PARTS)
    """The schedules, in order."""
    boundaries: list[Duration] = Field(max_length=MAX_PARTS - 1)
    """The first step of each schedule but the first, in increasing order."""

    @model_validator(mode="after")
    def _one_schedule_more(self) -> Self:
        expected = len(self.schedules) - 1
        if len(self.boundaries) != expected:
            reject(
                ["boundaries"],
                f"boundaries must have one entry fewer than schedules: {expected} for "
                f"{len(self.schedules)} schedules, got {len(self.boundaries)}",
                self.boundaries,
            )
        return self

    @property
    def parts(self) -> Sequence[ScheduleSpec]:
        """The schedules in the chain."""
        return self.schedules

    @property
    def num_boundaries(self) -> int:
        """The number of boundaries."""
        return len(self.boundaries)

    def lengths(self, run: RunLength) -> list[RunLength]:
        """Return the length of each part, including parts that the run does not reach."""
        edges = [0, *(run.span(boundary) for boundary in self.boundaries)]
        # A part that the run does not reach also needs a length, for the checks of its fields.
        edges.append(max(run.span(None), edges[-1] + 1))
        # At least 1: problems_in uses the lengths even if the boundaries do not increase.
        spans = [max(1, stop - start) for start, stop in pairwise(edges)]
        return [RunLength.of_part(each, run.steps_per_epoch) for each in spans]

    def parts_in(self, run: RunLength) -> Iterator[tuple[ScheduleSpec, RunLength]]:
        """Yield each part with its length in the chain, at most the length of the run."""
        for part, length in zip(self.schedules, self.lengths(run), strict=True):
            # A boundary may be far beyond the run: no part is computed for more steps than the run.
            yield part, length._replace(total_steps=min(length.total_steps, run.total_steps))

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return the warmup steps of the schedule itself, plus those of its first part."""
        first = self.schedules[0].num_warmup_steps(self.lengths(run)[0])
        return min(run.total_steps, super().num_warmup_steps(run) + first)

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield the parts' problems, and a problem for a boundary that does not increase."""
        yield from super().problems_in(run)
        before = 0.0
        for i, boundary in enumerate(self.boundaries):
            step = run.span(boundary)
            if step <= before:
                yield RunProblem(
                    ("boundaries", i),
                    f"boundaries must increase, got {run.in_words(boundary)} "
                    f"after {counted(before, 'step')}",
                    boundary,
                )
            before = step
        for i, (part, length) in enumerate(zip(self.schedules, self.lengths(run), strict=True)):
            yield from below(("schedules", i), part.problems_in(length))

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield the parts' warnings, and one for each boundary that the run does not reach."""
        yield from super().warnings_in(run)
        yield from unreached(self, "boundaries", self.boundaries, run)
        for i, (part, length) in enumerate(zip(self.schedules, self.lengths(run), strict=True)):
            for text in part.warnings_in(length):
                yield text.replace("schedule", f"schedule.schedules[{i}]", 1)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        parts = zip(self.schedules, self.lengths(run), strict=True)
        return chain(
            [part.curve(lr, length) for part, length in parts],
            boundaries=[run.span(boundary) for boundary in self.boundaries],
        )


class Product(Dialectal):
    """
    The product of several schedules: each multiplies lr by its own value divided by lr.

    ::

        f(t) = lr * (schedules[0](t) / lr) * (schedules[1](t) / lr) * ...

    Dialect torch computes lr as torch's ChainedScheduler does. At each step the first schedule
    changes lr, the second schedule changes the result, and so on. In a product of dialect torch,
    every schedule must have dialect torch and no warmup.

    The lr in dialect torch equals the formula unless a schedule also adds to lr. Only two
    schedules add to lr: a cosine with an end other than 0, and a cosine that rises again after its
    length.

    References:
        torch 2.13 ChainedScheduler.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch",)
    ONLY_DOUBLE: ClassVar[bool] = True
    RECURSION: ClassVar[str] = "dialect torch of a product"
    RECURSION_FIELD: ClassVar[str] = "dialect"
    NO_RECURSION: ClassVar[str] = "dialect plain"
    LATER: ClassVar[frozenset[str]] = frozenset({"dialect", "precision"})
    EXAMPLE: ClassVar[Example] = {"schedules": [COSINE, {"kind": "cyclic", "base": 0.5, "up": 20}]}
    VARIANTS: ClassVar[Variants] = {
        "torch's cosine with end 0.2, exponential": {
            "dialect": "torch",
            "schedules": [
                {"kind": "cosine", "dialect": "torch", "end": 0.2},
                {"kind": "exponential", "dialect": "torch", "rate": 0.99, "every": 1},
            ],
        }
    }

    kind: Literal["product"]
    schedules: list[Part] = Field(min_length=1, max_length=MAX_PARTS)
    """The schedules that are multiplied."""

    @property
    def parts(self) -> Sequence[ScheduleSpec]:
        """The schedules that are multiplied."""
        return self.schedules

    def cost(self, run: RunLength) -> int:
        """Return the total cost of the factors."""
        return super().cost(run) - run.total_steps

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return the product's own warmup steps, plus those of the factor that has the most."""
        longest = max(part.num_warmup_steps(run) for part in self.schedules)
        return min(run.total_steps, super().num_warmup_steps(run) + longest)

    @property
    def recursive(self) -> bool:
        """Whether lr is computed from the previous lr, as in dialect torch."""
        return self.dialect == "torch"

    @model_validator(mode="after")
    def _torch_chains_its_own_schedulers(self) -> Self:
        if self.dialect == "torch":
            for i, part in enumerate(self.schedules):
                for refusal in refusals(part):
                    reject(["schedules", i], refusal, part.kind)
        return self

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield the problems in the factors."""
        yield from super().problems_in(run)
        for i, part in enumerate(self.schedules):
            yield from below(("schedules", i), part.problems_in(run))

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield the warnings about the factors."""
        yield from super().warnings_in(run)
        for i, part in enumerate(self.schedules):
            for text in part.warnings_in(run):  # each begins with the path of its field
                yield text.replace("schedule", f"schedule.schedules[{i}]", 1)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        if self.recursive:
            return chained(self.schedules, lr, run)
        return product([part.curve(lr, run) for part in self.schedules], lr=lr)


def chain(curves: Sequence[Curve], *, boundaries: Sequence[float]) -> Curve:
    """Return f(t) = curves[0](t), then curves[i + 1](t - boundaries[i]) from boundaries[i] on."""
    starts = np.asarray([0, *boundaries], np.float64)

    def f(t: Array) -> Array:
        part = np.searchsorted(starts, t, side="right") - 1
        lr = np.empty(t.shape, np.float64)
        for i, curve in enumerate(curves):
            here = part == i
            if here.any():
                # Only at its own steps: a curve is not defined before its own t = 0.
                lr[here] = curve(t[here] - starts[i])
        return lr

    return f


def product(curves: Sequence[Curve], *, lr: float) -> Curve:
    """Return f(t) = lr * (curves[0](t) / lr) * (curves[1](t) / lr) * ..."""

    def f(t: Array) -> Array:
        # The first curve is not divided by lr and multiplied again, which would round twice.
        found = np.asarray(curves[0](t))
        for curve in curves[1:]:
            # An lr of 0 gives NaN, which the check of the run rejects.
            found = found * (curve(t) / lr)
        return found

    return f
