"""What all schedules share: their dialects, their fit into a run, and durations in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from optcore.schedules.warmup import After, Warmup
from optcore.spec.base import Spec
from optcore.spec.duration import Epochs, steps_in
from optcore.spec.errors import did_you_mean, reject

Rate = Annotated[float, Field(ge=0, json_schema_extra={"unit": "lr"})]
Fraction = Annotated[float, Field(ge=0, json_schema_extra={"unit": "of lr"})]
ScheduleDialect = Literal["plain", "torch", "paddle", "paddleocr", "mindspore", "keras", "tf1"]
Precision = Literal["float64", "float32"]

PRECISIONS: Mapping[str, tuple[Precision, ...]] = {
    "plain": ("float64",),
    "torch": ("float64", "float32"),
    "paddle": ("float64",),
    "paddleocr": ("float64",),
    "mindspore": ("float32", "float64"),
    "keras": ("float32",),
    "tf1": ("float32", "float64"),
}
"""Dialect -> the numbers its framework computes lr in; the first is the default."""


MAX_RECURSION = 1_000_000
"""The longest recursion in float32, in steps: each of them is kept."""

DELAYING: frozenset[ScheduleDialect] = frozenset({"torch", "paddle", "paddleocr", "keras"})
"""Dialects in which a schedule begins after its warmup: SequentialLR, LinearWarmup,
CosineDecay(warmup_target). The others have no warmup of their own."""


class Misfit(NamedTuple):
    """
    A value that does not fit the run.

    Attributes:
        path: of the field, within the schedule.
        message: a sentence with the name, the rule and the value.
        value: as given.
    """

    path: tuple[str | int, ...]
    message: str
    value: object


class ScheduleSpec(Spec):
    """What all schedules share."""

    kind: str
    """Which schedule."""

    AFTER: ClassVar[After] = "compress"
    """What a warmup that does not say so means, where no framework decides it (`DELAYING`)."""
    STATEFUL: ClassVar[bool] = False
    """Whether lr depends on how the run goes, so that no plan can tell it."""

    warmup: Warmup | None = None
    """A rise before the schedule proper; null for none."""

    @model_validator(mode="before")
    @classmethod
    def _resolve_warmup(cls, data: Any) -> Any:  # noqa: ANN401
        if not isinstance(data, dict):
            return data
        warmup, dialect = data.get("warmup"), data.get("dialect")
        after = "delay" if isinstance(dialect, str) and dialect in DELAYING else cls.AFTER
        if isinstance(warmup, dict) and warmup.get("after") is None:
            return {**data, "warmup": {**warmup, "after": after}}
        if isinstance(warmup, Warmup) and warmup.after is None:
            return {**data, "warmup": warmup.model_copy(update={"after": after})}
        return data

    @property
    def parts(self) -> Sequence[ScheduleSpec]:
        """The schedules that it is made of."""
        return ()

    @property
    def num_moments(self) -> int:
        """How many points in the run it names, those of its parts left out."""
        return 0

    def whole(self) -> Iterator[ScheduleSpec]:
        """Yield this schedule and all that it is made of."""
        yield self
        for part in self.parts:
            yield from part.whole()

    def num_entries(self) -> int:
        """Return how many entries its lists have, those of its parts counted."""
        lists = (v for each in self.whole() for v in vars(each).values() if isinstance(v, list))
        return sum(map(len, lists))

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield what is wrong with the durations in a run of this length."""
        if self.warmup is None:
            return
        given = self.warmup.length
        length = steps_in(given, steps_per_epoch)
        got = f"got {in_words(given, steps_per_epoch)}"
        if length < 1:
            yield Misfit(("warmup", "length"), f"length must be at least 1 step, {got}", given)
        if length >= total_steps:
            rule = f"length must be shorter than the run of {total_steps} steps"
            yield Misfit(("warmup", "length"), f"{rule}, {got}", given)

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield what is allowed in a run of this length but probably not meant."""
        del total_steps, steps_per_epoch
        yield from ()

    @property
    def uses_lr(self) -> bool:
        """Whether the optimizer's own lr matters."""
        return True

    def rise(self, *, total_steps: int, steps_per_epoch: int) -> int:
        """Return how many of the run's steps belong to its warmup."""
        if self.warmup is None:
            return 0
        return min(total_steps, steps_in(self.warmup.length, steps_per_epoch))

    def spans(self, steps: int, steps_per_epoch: int) -> Iterator[tuple[ScheduleSpec, int]]:
        """Yield each part, and how many of its steps are needed to know the first *steps*."""
        del steps_per_epoch
        yield from ((part, steps) for part in self.parts)

    def cost(self, steps: int, steps_per_epoch: int) -> int:
        """Return about how many values are computed to know the first *steps*."""
        spans = self.spans(steps, steps_per_epoch)
        return steps + sum(part.cost(needed, steps_per_epoch) for part, needed in spans)

    def num_repeated(self, steps: int, steps_per_epoch: int) -> int:
        """Return how many steps are each computed from the one before, those of parts counted."""
        spans = self.spans(steps, steps_per_epoch)
        return sum(part.num_repeated(needed, steps_per_epoch) for part, needed in spans)

    def offset(self, steps_per_epoch: int) -> int:
        """Return by how many steps a delaying warmup puts off the schedule proper."""
        if self.warmup is None or self.warmup.after != "delay":
            return 0
        return steps_in(self.warmup.length, steps_per_epoch)


class Dialectal(ScheduleSpec):
    """
    A schedule that frameworks disagree about: at a boundary, at the end, in its last digit.

    The dialect picks flags, defaults and rounding together.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ()
    """Which dialects there are besides plain."""

    dialect: ScheduleDialect = "plain"
    """Whose math, defaults and rounding; plain is the formula above. mindspore.experimental is
    torch in float32."""
    precision: Precision = Field(
        default_factory=lambda data: PRECISIONS[data["dialect"]][0],
        json_schema_extra={"defaults": {name: first for name, (first, *_) in PRECISIONS.items()}},
    )
    """The numbers lr is computed in, as the dialect's framework does."""

    @property
    def recursive(self) -> bool:
        """Whether lr follows from the lr before, so that no step is known without all before."""
        return self.dialect == "torch" and self.precision == "float32"

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a recursion that is too long."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        if self.recursive and total_steps > MAX_RECURSION:
            yield Misfit(
                ("precision",),
                f"precision float32 in dialect torch computes every step from the one before, for "
                f"at most {MAX_RECURSION} steps, got {total_steps}; use float64",
                self.precision,
            )

    def cost(self, steps: int, steps_per_epoch: int) -> int:
        """Return more for a recursion, which goes through its steps one by one."""
        return super().cost(steps, steps_per_epoch) * (10 if self.recursive else 1)

    def num_repeated(self, steps: int, steps_per_epoch: int) -> int:
        """Return all steps of a recursion."""
        del steps_per_epoch
        return steps if self.recursive else 0

    @model_validator(mode="after")
    def _dialect_exists(self) -> Self:
        known = ("plain", *self.DIALECTS)
        if self.dialect not in known:
            reject(
                ["dialect"],
                f"dialect {self.dialect} does not exist for {self.kind}, only {', '.join(known)}"
                f"{did_you_mean(self.dialect, known)}",
                self.dialect,
            )
        if self.precision not in PRECISIONS[self.dialect]:
            reject(
                ["precision"],
                f"precision must be {' or '.join(PRECISIONS[self.dialect])} in dialect "
                f"{self.dialect}, got {self.precision!r}",
                self.precision,
            )
        return self


def by_dialect(plain: float | str | None, **limits_and_defaults: Any) -> Any:  # noqa: ANN401
    """
    Return a pydantic field whose default depends on the schedule's dialect.

    Args:
        plain: default in dialect plain, and in those that are not named.
        limits_and_defaults: dialect -> default; pydantic's gt, ge, lt and le.
    """
    limits = {k: v for k, v in limits_and_defaults.items() if k in ("gt", "ge", "lt", "le")}
    others = {k: v for k, v in limits_and_defaults.items() if k not in limits}
    return Field(
        default_factory=lambda data: others.get(data.get("dialect", "plain"), plain),
        json_schema_extra={"defaults": {"plain": plain, **others}},
        **limits,
    )


def at_least_a_step(
    name: str, duration: int | Epochs | None, steps_per_epoch: int
) -> Iterator[Misfit]:
    """Yield that the *duration* called *name* has no steps; null has all of the run's."""
    if duration is not None and steps_in(duration, steps_per_epoch) < 1:
        got = in_words(duration, steps_per_epoch)
        yield Misfit((name,), f"{name} must be at least 1 step, got {got}", duration)


def finite_power(name: str, base: float, power: float) -> Iterator[Misfit]:
    """Yield that the field *name*, *base* raised to *power* over the run, overflows."""
    largest = 1e300
    if base > 1 and power * math.log(base) > math.log(largest):
        yield Misfit(
            (name,),
            f"{name} must keep lr finite over the run, got {base:g}, which comes to "
            f"{base:g} ** {power:g}",
            base,
        )


def in_words(duration: int | Epochs, steps_per_epoch: int) -> str:
    """Return ``500 steps`` or ``5 epochs (3000 steps)``."""
    steps = counted(steps_in(duration, steps_per_epoch), "step")
    if isinstance(duration, Epochs):
        return f"{counted(duration.epochs, 'epoch')} ({steps})"
    return steps


def counted(number: float, noun: str) -> str:
    """Return ``1 step``, ``2 steps``."""
    return f"{str(number).removesuffix('.0')} {noun}{'' if number == 1 else 's'}"
