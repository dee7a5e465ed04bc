"""What all schedules share: fields, the warmup before them, their fit into a run, their cost."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field, model_validator

from optcore.schedules.numerics.numbers import DOUBLE, Curve, Numbers
from optcore.schedules.warmup import After, Warmup
from optcore.spec.base import Spec
from optcore.spec.duration import Epochs, RunLength
from optcore.spec.limits import MAX_MOMENTS, MAX_SCHEDULES

Rate = Annotated[float, Field(ge=0, json_schema_extra={"unit": "lr"})]
Fraction = Annotated[float, Field(ge=0, json_schema_extra={"unit": "of lr"})]

Example = Mapping[str, Any]
"""Fields of a schedule, without its kind."""
Variants = Mapping[str, Example]

DELAYING = frozenset({"torch", "paddle", "paddleocr", "keras"})
"""Dialects in which a schedule begins after its warmup: SequentialLR, LinearWarmup,
CosineDecay(warmup_target). The others have no warmup of their own."""


class RunProblem(NamedTuple):
    """
    A value that does not fit a run of the given length.

    Attributes:
        path: of the field, within the schedule.
        message: a sentence with the name, the rule and the value.
        value: as given.
    """

    path: tuple[str | int, ...]
    message: str
    value: object


class ScheduleSpec(Spec, ABC):
    """
    What all schedules share.

    A new one is a subclass in `optcore.schedules.families`: its fields, an example, its `_formula`,
    and what it finds wrong in a run. It is listed in `optcore.schedules.catalogue`.
    """

    kind: str
    """Which schedule."""

    EXAMPLE: ClassVar[Example]
    """Fields for the gallery, which draws them for a run of 400 steps, 20 to the epoch, lr 1."""
    VARIANTS: ClassVar[Variants] = {}
    """Name -> fields of a curve that the gallery draws beside the example."""
    AFTER: ClassVar[After] = "compress"
    """What a warmup that does not say so means, where no framework decides it (`DELAYING`)."""
    STATEFUL: ClassVar[bool] = False
    """Whether lr depends on a metric of the run, so that it cannot be planned."""

    warmup: Warmup | None = None
    """A rise before the schedule proper; null for none."""

    @model_validator(mode="before")
    @classmethod
    def _resolve_warmup(cls, data: Any) -> Any:  # noqa: ANN401
        if not isinstance(data, dict):
            return data
        # The default depends on the class and the dialect, which the fields of Warmup cannot see.
        warmup, dialect = data.get("warmup"), data.get("dialect")
        # What is no string may have no hash; the field of the dialect reports it.
        after = "delay" if isinstance(dialect, str) and dialect in DELAYING else cls.AFTER
        # In copies: *data* may be the caller's own object.
        if isinstance(warmup, dict) and warmup.get("after") is None:
            return {**data, "warmup": {**warmup, "after": after}}
        if isinstance(warmup, Warmup) and warmup.after is None:
            return {**data, "warmup": warmup.model_copy(update={"after": after})}
        return data

    @abstractmethod
    def _formula(self, lr: float, run: RunLength) -> Curve:
        """
        Return the function that the class documents, which knows nothing of a warmup.

        Args:
            lr: what the schedule starts from.
            run: what durations are measured by; `problems_in` found nothing in it.
        """

    def curve(self, lr: float, run: RunLength) -> Curve:
        """Return the schedule as a function of t, behind its warmup, starting from *lr*."""
        return self.behind_warmup(self._formula(lr, run), run)

    def behind_warmup(self, curve: Curve, run: RunLength) -> Curve:
        """Return *curve* behind the warmup, if there is one."""
        if self.warmup is None:
            return curve
        return self.warmup.before(curve, run, after=self.AFTER, numbers=self.numbers)

    @property
    def numbers(self) -> Numbers:
        """What it is computed in."""
        return DOUBLE

    @property
    def parts(self) -> Sequence[ScheduleSpec]:
        """The schedules that it is made of."""
        return ()

    @property
    def num_boundaries(self) -> int:
        """How many points in the run it names, those of its parts left out."""
        return 0

    def walk(self) -> Iterator[ScheduleSpec]:
        """Yield this schedule and all that it is made of."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def num_entries(self) -> int:
        """Return how many entries its lists have, those of its parts counted."""
        lists = (v for each in self.walk() for v in vars(each).values() if isinstance(v, list))
        return sum(map(len, lists))

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Yield what is wrong with the durations in a run of this length."""
        if self.warmup is None:
            return
        given = self.warmup.length
        got = f"got {run.in_words(given)}"
        # A small fraction of an epoch is rounded to no step at all.
        if run.steps(given) < 1:
            message = f"length must be at least 1 step, {got}"
            yield RunProblem(("warmup", "length"), message, given)
        # Nothing would be left for the schedule proper, and compress would divide by 0.
        if run.steps(given) >= run.total_steps:
            message = f"length must be shorter than the run of {run.total_steps} steps, {got}"
            yield RunProblem(("warmup", "length"), message, given)

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Yield what is allowed in a run of this length but probably not meant."""
        # A text begins with "schedule" and the path of a field: what a schedule is part of puts its
        # own path there, by replacing that word.
        yield from ()

    @property
    def uses_lr(self) -> bool:
        """Whether the optimizer's own lr matters."""
        return True

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return how many of the run's steps belong to a rise at its beginning."""
        return 0 if self.warmup is None else min(run.total_steps, run.steps(self.warmup.length))

    def parts_in(self, run: RunLength) -> Iterator[tuple[ScheduleSpec, RunLength]]:
        """Yield each part, and the steps of it that the steps of *run* take."""
        yield from ((part, run) for part in self.parts)

    def cost(self, run: RunLength) -> int:
        """Return about how many values are computed for the steps of *run*."""
        # It decides whether values are computed (optcore.spec.fit) and in which thread (api), so it
        # must be known without computing one.
        return run.total_steps + sum(part.cost(length) for part, length in self.parts_in(run))

    def num_repeated(self, run: RunLength) -> int:
        """Return how many steps are each computed from the one before, those of parts counted."""
        # A late step of such a schedule takes all before it: to sample the run saves nothing.
        return sum(part.num_repeated(length) for part, length in self.parts_in(run))

    def offset(self, run: RunLength) -> int:
        """Return by how many steps a delaying warmup puts off the schedule proper."""
        if self.warmup is None or self.warmup.after != "delay":
            return 0
        return run.steps(self.warmup.length)


def at_least_a_step(
    name: str, duration: int | Epochs | None, run: RunLength
) -> Iterator[RunProblem]:
    """Yield that the *duration* called *name* has no steps; null has all of the run's."""
    if duration is not None and run.steps(duration) < 1:
        got = run.in_words(duration)
        yield RunProblem((name,), f"{name} must be at least 1 step, got {got}", duration)


def finite_power(name: str, base: float, power: float) -> Iterator[RunProblem]:
    """Yield that the field *name*, *base* raised to *power* over the run, overflows."""
    largest = 1e300  # less than the largest float64, so that its product with lr is finite too
    # In logarithms: Python raises OverflowError where base ** power is too large.
    if base > 1 and power * math.log(base) > math.log(largest):
        yield RunProblem(
            (name,),
            f"{name} must keep lr finite over the run, got {base:g}, which comes to "
            f"{base:g} ** {power:g}",
            base,
        )


def below(path: tuple[str | int, ...], problems: Iterable[RunProblem]) -> Iterator[RunProblem]:
    """Yield *problems* with their paths below *path*."""
    for problem in problems:
        yield problem._replace(path=(*path, *problem.path))


def too_many(schedules: Iterable[ScheduleSpec]) -> str | None:
    """Return that *schedules* and their parts, or their boundaries, are too many; or None."""
    number = boundaries = 0
    for schedule in schedules:
        for part in schedule.walk():
            number, boundaries = number + 1, boundaries + part.num_boundaries
    if number > MAX_SCHEDULES:
        return (
            f"there must be at most {MAX_SCHEDULES} schedules, those that others are made of "
            f"counted, got {number}"
        )
    if boundaries > MAX_MOMENTS:
        return (
            f"schedules must have at most {MAX_MOMENTS} boundaries and milestones, all together, "
            f"got {boundaries}"
        )
    return None
