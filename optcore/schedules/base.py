"""The base class of all schedules, with their common fields, checks and cost."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field, model_validator

from optcore.schedules.numerics.numbers import DOUBLE, Curve, Numbers
from optcore.schedules.warmup import After, Warmup
from optcore.spec.duration import Epochs, RunLength, Share, counted
from optcore.spec.later import LaterSpec
from optcore.spec.limits import MAX_MOMENTS, MAX_SCHEDULES

Rate = Annotated[float, Field(ge=0, json_schema_extra={"unit": "lr"})]
Fraction = Annotated[float, Field(ge=0, json_schema_extra={"unit": "of lr"})]

Example = Mapping[str, Any]
"""The fields of a schedule, without `kind`."""
Variants = Mapping[str, Example]

DELAYING = frozenset({"torch", "paddle", "paddleocr", "keras"})
"""Dialects in which the schedule starts after the warmup, as in torch's SequentialLR, Paddle's
LinearWarmup and Keras's CosineDecay(warmup_target). In dialect timm the schedule starts with the
warmup. In all other dialects `ScheduleSpec.AFTERS` and `ScheduleSpec.AFTER` decide."""


class RunProblem(NamedTuple):
    """
    A value in a schedule that does not fit the length of the run.

    Attributes:
        path: the path of the field within the schedule.
        message: a sentence that gives the field's name, the rule and the value.
        value: the value as the user gave it.
    """

    path: tuple[str | int, ...]
    message: str
    value: object


class ScheduleSpec(LaterSpec, ABC):
    """
    Base class for all schedules.

    To add a schedule, write a subclass in `optcore.schedules.families` with its fields, an
    `EXAMPLE`, a `_formula` and, where values must fit the run, a `problems_in`. Then list the
    subclass in `optcore.schedules.catalogue`.
    """

    kind: str
    """The name of the schedule."""

    EXAMPLE: ClassVar[Example]
    """Fields of the schedule that the gallery draws, in a run of 400 steps with 20 steps per epoch
    and an lr of 1."""
    VARIANTS: ClassVar[Variants] = {}
    """Name -> fields of another schedule that the gallery draws in the same picture."""
    AFTER: ClassVar[After] = "compress"
    """The default of `Warmup.after` in all dialects but timm and those in `DELAYING`."""
    AFTERS: ClassVar[Mapping[str, After]] = {}
    """Dialect -> the default of `Warmup.after` in this dialect, if it is not `AFTER`."""
    STATEFUL: ClassVar[bool] = False
    """Whether lr depends on a metric measured in the run, so that lr is not known in advance."""

    warmup: Warmup | None = None
    """A rise of lr before the schedule itself; null for no warmup."""

    @model_validator(mode="before")
    @classmethod
    def _resolve_warmup(cls, data: Any) -> Any:  # noqa: ANN401
        if not isinstance(data, dict):
            return data
        # The default of `after` depends on the class and the dialect, which a Warmup does not know.
        warmup, dialect = data.get("warmup"), data.get("dialect")
        # A dialect that is not a string may not be hashable; the field `dialect` reports it.
        after = cls.after_in(dialect) if isinstance(dialect, str) else cls.AFTER
        # In a copy: *data* may be the caller's own object.
        if isinstance(warmup, dict):
            found = {**cls.warmup_defaults(data), **warmup}
            return {**data, "warmup": {**found, "after": found.get("after") or after}}
        if isinstance(warmup, Warmup) and warmup.after is None:
            return {**data, "warmup": warmup.model_copy(update={"after": after})}
        return data

    @classmethod
    def after_in(cls, dialect: str) -> After:
        """Return the default of `Warmup.after` in *dialect*."""
        if dialect in DELAYING:
            return "delay"
        return "overlap" if dialect == "timm" else cls.AFTERS.get(dialect, cls.AFTER)

    @classmethod
    def warmup_defaults(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        Return field -> default, for fields of the warmup whose default depends on *data*.

        *data* has the fields of the schedule. The field ``after`` is not among the results, since
        `after_in` returns its default.
        """
        del data
        return {}

    @abstractmethod
    def _formula(self, lr: float, run: RunLength) -> Curve:
        """
        Return the schedule without its warmup, as a function of t.

        The function is the formula in the docstring of the class.

        Args:
            lr: the learning rate of the optimizer.
            run: the length of the run, for which `problems_in` has found no problem.
        """

    def curve(self, lr: float, run: RunLength) -> Curve:
        """Return the schedule, with its warmup, as a function of t for the learning rate *lr*."""
        curve = self._formula(lr, run)
        return self.behind_warmup(curve, run, end=self._warmup_end(lr, curve, run))

    def behind_warmup(self, curve: Curve, run: RunLength, *, end: float | None = None) -> Curve:
        """
        Return *curve* preceded by the warmup, or *curve* itself if there is no warmup.

        Args:
            curve: the schedule without its warmup.
            run: the length of the run.
            end: the lr at the end of the rise, used only if the warmup's own `end` is null. None
                stands for the first value of *curve*.
        """
        if self.warmup is None:
            return curve
        return self.warmup.before(
            curve,
            run,
            after=self.AFTER,
            numbers=self.warmup_numbers,
            rounded=self.rounds_warmup,
            end=end,
        )

    def _warmup_end(self, lr: float, curve: Curve, run: RunLength) -> float | None:
        """
        Return the lr to which a warmup rises if its field `end` is null.

        None stands for the first value of *curve*, the schedule without its warmup.
        """
        del lr, curve, run
        return None

    @property
    def rounds_warmup(self) -> bool:
        """Whether the length of the warmup is rounded to a whole number of steps."""
        return False

    def warmup_span(self, run: RunLength) -> float:
        """Return the length of the warmup in steps; 0 without a warmup."""
        return 0 if self.warmup is None else self.warmup.span(run, rounded=self.rounds_warmup)

    @property
    def numbers(self) -> Numbers:
        """The precision and rounding with which the schedule is computed."""
        return DOUBLE

    @property
    def warmup_numbers(self) -> Numbers:
        """The precision and rounding with which the warmup is computed."""
        return self.numbers

    @property
    def warmup_may_be_empty(self) -> bool:
        """Whether the warmup may have 0 steps."""
        return False

    @property
    def shortened(self) -> bool:
        """Whether the length of the schedule includes the steps of the warmup."""
        return False

    @property
    def parts(self) -> Sequence[ScheduleSpec]:
        """The schedules that this schedule directly contains."""
        return ()

    @property
    def num_boundaries(self) -> int:
        """The number of boundaries or milestones in this schedule, not counting its parts."""
        return 0

    def walk(self) -> Iterator[ScheduleSpec]:
        """Yield this schedule, its parts, their parts, and so on."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def num_entries(self) -> int:
        """Return how many entries all lists in this schedule and its parts have together."""
        lists = (v for each in self.walk() for v in vars(each).values() if isinstance(v, list))
        return sum(map(len, lists))

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Yield a problem for each field whose value does not fit the length *run* of the run."""
        if self.warmup is None:
            return
        given = self.warmup.length
        if run.span(given) == 0 and not self.warmup_may_be_empty:
            message = f"length must be at least 1 step, got {run.in_words(given)}"
            yield RunProblem(("warmup", "length"), message, given)
        # Compressed to no steps, the schedule would be divided by 0.
        compressed = self.warmup.after == "compress" and not self.shortened
        if compressed and self.warmup_span(run) >= run.span(None):
            yield RunProblem(
                ("warmup", "length"),
                f"length must be shorter than the run of {counted(run.span(None), 'step')}, "
                f"got {run.in_words(given)}",
                given,
            )

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Yield a warning for each field whose value is valid in *run* but probably a mistake."""
        # A warning begins with "schedule" and the path of a field. A schedule that contains this
        # one replaces that word with the path of the part.
        for name, reason in self.unused():
            if getattr(self, name) != self.default_of(name):
                yield f"schedule.{name}: is not used, since {reason}"
        if self.warmup is None:
            return
        if self.rounds_warmup:
            yield from rounded("warmup.length", self.warmup.length, run)
        elif 0 < run.span(self.warmup.length) < 1:
            yield (
                f"schedule.warmup.length: the rise of {run.in_words(self.warmup.length)} is over "
                "before the second update"
            )

    def unused(self) -> Iterator[tuple[str, str]]:
        """Yield (name, reason) for each field that has no effect because of other fields."""
        yield from ()

    @property
    def uses_lr(self) -> bool:
        """Whether the schedule uses the optimizer's own lr."""
        return True

    def num_warmup_steps(self, run: RunLength) -> int:
        """Return the number of steps at the beginning of the run that belong to a warmup."""
        return min(run.total_steps, math.ceil(self.warmup_span(run)))

    def parts_in(self, run: RunLength) -> Iterator[tuple[ScheduleSpec, RunLength]]:
        """Yield each of the `parts` with the length of the run for which the part is computed."""
        yield from ((part, run) for part in self.parts)

    def cost(self, run: RunLength) -> int:
        """Return roughly how many values must be computed to get lr at every step of *run*."""
        # The cost decides whether values are computed (optcore.spec.fit) and in which thread (api),
        # so it must be known before any value is computed.
        return run.total_steps + sum(part.cost(length) for part, length in self.parts_in(run))

    def num_repeated(self, run: RunLength) -> int:
        """Return how many values, including those of parts, need the value before them."""
        # Such a step needs all the steps before it, so sampling the run saves nothing.
        return sum(part.num_repeated(length) for part, length in self.parts_in(run))

    def offset(self, run: RunLength) -> float:
        """Return the number of steps by which the warmup delays the schedule; 0 for no delay."""
        if self.warmup is None or self.warmup.after != "delay":
            return 0
        return self.warmup_span(run)


def at_least_a_step(
    name: str, duration: int | Epochs | Share | None, run: RunLength
) -> Iterator[RunProblem]:
    """
    Yield a problem if *duration*, the value of the field *name*, rounds to 0 steps.

    Half a step or less rounds to 0. A duration parsed inside `optcore.spec.duration.rounding` is
    not checked, since the releases up to 0.2.0 accepted it even if it rounds to 0.
    """
    if isinstance(duration, Epochs) and duration.is_rounded:
        return
    if duration is not None and run.steps(duration) < 1:
        got = run.in_words(duration)
        yield RunProblem((name,), f"{name} must be at least 1 step, got {got}", duration)


def rounded(name: str, duration: int | Epochs | Share, run: RunLength) -> Iterator[str]:
    """Yield a warning if *duration*, the value of the field *name*, is rounded to whole steps."""
    if not run.is_whole(duration):
        yield (
            f"schedule.{name}: {run.in_words(duration)} are rounded to "
            f"{counted(run.steps(duration), 'step')}, as the framework of the dialect does"
        )


def finite_power(name: str, base: float, power: float) -> Iterator[RunProblem]:
    """Yield a problem with the field *name* if *base* ** *power*, a factor of lr, overflows."""
    largest = 1e300  # less than the largest float64, so that its product with lr is finite too
    # In logarithms, since Python raises OverflowError if base ** power is too large.
    if base > 1 and power * math.log(base) > math.log(largest):
        yield RunProblem(
            (name,),
            f"{name} must keep lr finite over the run, got {base:g}, which comes to "
            f"{base:g} ** {power:g}",
            base,
        )


def below(path: tuple[str | int, ...], problems: Iterable[RunProblem]) -> Iterator[RunProblem]:
    """Yield each of the *problems* with *path* in front of the problem's own path."""
    for problem in problems:
        yield problem._replace(path=(*path, *problem.path))


def too_many(schedules: Iterable[ScheduleSpec]) -> str | None:
    """Return an error message if there are too many *schedules* or boundaries, else None."""
    number = boundaries = 0
    for schedule in schedules:
        for part in schedule.walk():
            number, boundaries = number + 1, boundaries + part.num_boundaries
    if number > MAX_SCHEDULES:
        return (
            f"there must be at most {MAX_SCHEDULES} schedules, including those that are parts of "
            f"others, got {number}"
        )
    if boundaries > MAX_MOMENTS:
        return (
            f"schedules must have at most {MAX_MOMENTS} boundaries and milestones, all together, "
            f"got {boundaries}"
        )
    return None
