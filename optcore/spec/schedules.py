"""
Learning-rate schedules: lr as a function of t, the number of updates applied so far.

In the formulas t = 0 is the first update, T the steps of the whole run and lr the optimizer's
(or the group's) learning rate. `optcore.schedules` computes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from optcore.spec.base import Spec
from optcore.spec.duration import Duration, Epochs, steps_in
from optcore.spec.errors import violated

Rate = Annotated[float, Field(ge=0, json_schema_extra={"unit": "lr"})]


class Misfit(NamedTuple):
    """
    A duration that does not fit the run.

    Attributes:
        path: of the field, within the schedule.
        message: a sentence with the name, the rule and the value.
        value: as given.
    """

    path: tuple[str | int, ...]
    message: str
    value: object


After = Literal["delay", "overlap", "compress"]


class Warmup(Spec):
    """
    A linear rise to the schedule's first value, over the first w steps.

    ::

        t <  w:  start + (f(0) - start) * t / w
        t >= w:  delay     f(t - w)                  the schedule begins after the warmup
                 overlap   f(t)                      it has been running all along
                 compress  f((t - w) * T / (T - w))  it is squeezed into what is left of the run

    With ``delay`` a schedule as long as the run is cut off by its end: validate warns.

    References:
        Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2.
        https://arxiv.org/abs/1706.02677
        delay: Paddle LinearWarmup, Keras CosineDecay(warmup_target), torch SequentialLR;
        overlap: timm; compress: transformers, optax warmup_cosine_decay_schedule.
    """

    length: Duration
    """How long lr rises; shorter than the run."""
    start: Rate = 0.0
    """lr of the first update. The default, 0, is what most frameworks do: that update changes
    nothing."""
    after: After | None = None
    """What the schedule does about the steps the warmup took. Left out: compress where the
    schedule is a curve over the run, overlap where it changes at given steps."""


class ScheduleSpec(Spec):
    """What all schedules share."""

    kind: str
    """Which schedule."""

    AFTER: ClassVar[After] = "compress"
    """What a warmup that does not say so means."""

    warmup: Warmup | None = None
    """A rise before the schedule proper; null for none."""

    @model_validator(mode="before")
    @classmethod
    def _resolve_warmup(cls, data: Any) -> Any:  # noqa: ANN401
        if isinstance(data, dict) and isinstance(data.get("warmup"), dict):
            warmup = data["warmup"]
            if warmup.get("after") is None:
                return {**data, "warmup": {**warmup, "after": cls.AFTER}}
        return data

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

    def offset(self, steps_per_epoch: int) -> int:
        """Return by how many steps a delaying warmup puts off the schedule proper."""
        if self.warmup is None or self.warmup.after != "delay":
            return 0
        return steps_in(self.warmup.length, steps_per_epoch)


class Fall(ScheduleSpec):
    """A schedule that falls from lr to an end, which then holds."""

    length: Duration | None = None
    """How long the fall takes; null for the whole run."""
    end: Rate = 0.0
    """lr at the end of the fall, absolute."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a fall of no steps."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        if self.length is not None and steps_in(self.length, steps_per_epoch) < 1:
            yield Misfit(
                ("length",),
                f"length must be at least 1 step, got {in_words(self.length, steps_per_epoch)}",
                self.length,
            )

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield that the fall is cut off by the end of the run."""
        length = total_steps if self.length is None else steps_in(self.length, steps_per_epoch)
        over = self.offset(steps_per_epoch) + length
        if over > total_steps:
            yield (
                f"schedule: lr never reaches its end of {self.end:g}: the fall is over after "
                f"{counted(over, 'step')}, the run after {total_steps}"
            )


class Constant(ScheduleSpec):
    """
    The same lr at every step.

    ::

        f(t) = lr
    """

    kind: Literal["constant"]


class Cosine(Fall):
    """
    Half a cosine wave from lr down to *end*, which then holds.

    ::

        f(t) = end + (lr - end) * (1 + cos(pi * min(t, length) / length)) / 2

    References:
        Loshchilov and Hutter, SGDR, 2017, equation 5. https://arxiv.org/abs/1608.03983
    """

    kind: Literal["cosine"]


class Linear(Fall):
    """
    A straight line from lr to *end*, which then holds.

    ::

        f(t) = lr + (end - lr) * min(t, length) / length
    """

    kind: Literal["linear"]


class Step(ScheduleSpec):
    """
    A staircase: lr is multiplied by *gamma* every *every* steps.

    ::

        f(t) = lr * gamma ** floor(t / every)
    """

    AFTER: ClassVar[After] = "overlap"

    kind: Literal["step"]
    every: Duration
    """Length of a stair."""
    gamma: float = Field(0.1, gt=0, le=1)
    """Factor from stair to stair."""

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also a stair of no steps."""
        yield from super().misfits(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        if steps_in(self.every, steps_per_epoch) < 1:
            yield Misfit(
                ("every",),
                f"every must be at least 1 step, got {in_words(self.every, steps_per_epoch)}",
                self.every,
            )

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield that the run ends on the first stair."""
        first = self.offset(steps_per_epoch) + steps_in(self.every, steps_per_epoch)
        if first >= total_steps:
            yield (
                f"schedule.every: lr never changes: its first stair ends after "
                f"{counted(first, 'step')}, the run after {total_steps}"
            )


class Piecewise(ScheduleSpec):
    """
    Given values between given boundaries; the optimizer's own lr is not used.

    ::

        f(t) = values[number of boundaries <= t]

    At a boundary the new value holds, as in Paddle, MindSpore, optax and torch (TF1 and Keras
    change one step later).
    """

    AFTER: ClassVar[After] = "overlap"

    kind: Literal["piecewise"]
    boundaries: list[Duration] = Field(min_length=1, max_length=1000)
    """First step of each new value, increasing."""
    values: list[Rate] = Field(min_length=2, max_length=1001)
    """lr before, between and after the boundaries: one more than there are boundaries."""

    @model_validator(mode="after")
    def _one_value_more(self) -> Self:
        expected = len(self.boundaries) + 1
        if len(self.values) != expected:
            violated(
                ["values"],
                f"values must have one entry more than boundaries: {expected} for "
                f"{len(self.boundaries)} boundaries, got {len(self.values)}",
                self.values,
            )
        return self

    def misfits(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[Misfit]:
        """Yield also boundaries that do not increase."""
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

    def warnings(self, *, total_steps: int, steps_per_epoch: int) -> Iterator[str]:
        """Yield the boundaries that the run does not reach."""
        for i, boundary in enumerate(self.boundaries):
            step = self.offset(steps_per_epoch) + steps_in(boundary, steps_per_epoch)
            if step >= total_steps:
                yield (
                    f"schedule.boundaries[{i}]: step {step} is never reached in a run of "
                    f"{counted(total_steps, 'step')}"
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


AnySchedule = Annotated[Constant | Cosine | Linear | Step | Piecewise, Field(discriminator="kind")]
"""One of the schedules, told apart by `kind`."""

SCHEDULES: dict[str, type[ScheduleSpec]] = {
    "constant": Constant,
    "cosine": Cosine,
    "linear": Linear,
    "piecewise": Piecewise,
    "step": Step,
}
"""Every schedule by its name."""
