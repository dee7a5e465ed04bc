"""Annealing: base classes and functions for schedules in which lr falls to an end value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from optcore.schedules.base import (
    Fraction,
    Rate,
    RunProblem,
    ScheduleSpec,
    at_least_a_step,
)
from optcore.schedules.dialects import Dialectal
from optcore.schedules.numerics.numbers import Curve, Numbers
from optcore.spec.duration import Duration, Epochs, Moment, RunLength, counted
from optcore.spec.errors import reject


class Annealing(ScheduleSpec):
    """Base class for schedules in which lr falls to an end value and then stays there."""

    length: Duration | None = None
    """How long the fall takes; null for the whole run."""
    end: Rate = 0.0
    """The lr at the end of the fall, as an absolute value."""
    end_fraction: Fraction | None = None
    """The lr at the end of the fall as a fraction of lr, in place of end; null to use end."""

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        field = type(self).model_fields["end"]
        default = field.get_default(call_default_factory=True, validated_data=dict(self))
        # A spec that is written out in full contains the default of end beside the fraction.
        if self.end_fraction is not None and self.end != default:
            reject(
                ["end_fraction"],
                f"end_fraction must not be given together with end, got {self.end_fraction} "
                f"and {self.end}",
                self.end_fraction,
            )
        return self

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *length* rounds to 0 steps."""
        yield from super().problems_in(run)
        if not self.may_be_empty:
            yield from at_least_a_step("length", self.length, run)

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning if the run ends before the fall is over."""
        yield from super().warnings_in(run)
        over = self.offset(run) + self.num_steps(run)
        # Not at a fraction of a step after the end: the run itself is rounded to whole steps.
        if math.floor(over) > run.total_steps:
            fraction = self.end_fraction
            end = f"{self.end:g}" if fraction is None else f"{fraction:g} of lr"
            yield (
                f"schedule: lr never reaches its end of {end}: the fall is over after "
                f"{counted(over, 'step')}, the run after {run.total_steps}"
            )

    @property
    def may_be_empty(self) -> bool:
        """Whether the length may be 0."""
        return False

    def num_steps(self, run: RunLength) -> float:
        """Return the number of steps until the fall is over, not counting a delay by a warmup."""
        return run.span(self.length)

    def _ends(self) -> dict[str, Any]:
        return {"end": self.end, "end_fraction": self.end_fraction}

    def absolute_end(self, lr: float) -> float:
        """Return the end value of a fall that starts from *lr*."""
        return self.end if self.end_fraction is None else lr * self.end_fraction


# Annealing first: pydantic takes fields from the last base class first, so that `dialect` comes
# before `end`. In the other order, the default of `end` would be that of plain in all dialects.
class Fall(Annealing, Dialectal):
    """
    Base class for schedules in which lr falls with a power of the remaining time.

    The fall may begin after the first step of the run.
    """

    ONLY_SINGLE: ClassVar[bool] = True
    HAS_LENGTH: ClassVar[bool] = True

    length: Moment | None = None
    """How long the fall takes; null for the rest of the run after begin. In dialect optax the
    length may be 0: lr then stays at its first value."""
    begin: Moment = 0
    """The first step of the fall; lr is constant before it."""

    @property
    def may_be_empty(self) -> bool:
        """Whether the length may be 0, as in optax."""
        return self.dialect == "optax"

    def warnings_in(self, run: RunLength) -> Iterator[str]:
        """Also yield a warning if the fall has no steps, or the run ends before the fall begins."""
        yield from super().warnings_in(run)
        yield from late("begin", self.begin, self.offset(run), run)
        yield from never("length", self.length)

    def num_steps(self, run: RunLength) -> float:
        """Return the number of steps until the fall is over, not counting a delay by a warmup."""
        return run.span(self.begin) + self.own_length(run)

    def own_length(self, run: RunLength) -> float:
        """
        Return the length of the fall in steps.

        If the field `length` is null, the fall takes the rest of the run after the step `begin`.
        """
        if self.length is None:
            return max(1, run.span(None) - run.span(self.begin))
        # A fall of 0 steps never begins, and 0 must not become a divisor.
        return run.span(self.length) or 1

    def without_warmup(self, run: RunLength) -> tuple[Literal["delay", "overlap"], float]:
        """Return `Warmup.after` and the length in steps, both for the copy from `_shorter`."""
        # If the warmup leaves no steps, the fall is over, and no step has the peak in transformers.
        if self._warmup_fills(run):
            return "overlap", self.own_length(run)
        return super().without_warmup(run)

    def behind_start(self, curve: Curve, run: RunLength) -> Curve:
        """
        Return *curve*, delayed to the step `begin`.

        If the field `length` is 0, the result is curve(0) at every step.
        """
        if self.length == 0:
            return lambda t: np.asarray(curve(np.zeros_like(t)))
        return delayed(curve, begin=run.span(self.begin))


def late(name: str, moment: int | Epochs, offset: float, run: RunLength) -> Iterator[str]:
    """
    Yield a warning if the run ends before *moment*, the value of the field *name*.

    *offset* is the number of steps by which a warmup delays the schedule.
    """
    step = offset + run.span(moment)
    if step >= run.total_steps:
        yield f"schedule.{name}: step {step:.12g} is never reached in a run of " + counted(
            run.total_steps, "step"
        )


def never(name: str, duration: int | Epochs | None) -> Iterator[str]:
    """Yield a warning if *duration*, the value of the field *name*, is 0 steps."""
    if duration == 0:
        yield f"schedule.{name}: lr never leaves its first value, since {name} is 0 steps"


def delayed(curve: Curve, *, begin: float) -> Curve:
    """Return f(t) = curve(max(t - begin, 0))."""
    return curve if begin == 0 else lambda t: curve(np.maximum(t - begin, 0.0))


def no_k_decay(spec: Dialectal, k_decay: float) -> None:
    """Raise an error if *k_decay* is not 1 in a dialect whose framework has no k_decay."""
    if k_decay != 1 and spec.dialect not in ("plain", "timm"):
        reject(
            ["k_decay"],
            f"k_decay must be 1 in dialect {spec.dialect}, got {k_decay}: only dialects plain and "
            f"timm have a k_decay",
            k_decay,
        )


def between(lr: float, end: float, end_fraction: float | None, numbers: Numbers) -> Curve:
    """
    Return a function from *left*, the part of a fall that is still to come, to the current lr.

    *left* is the distance of the current lr from the end value, divided by the distance of *lr*
    from the end value. So *left* is 1 at *lr* and 0 at the end value, and the current lr is::

        end + (lr - end) * left                            if end_fraction is None
        lr * ((1 - end_fraction) * left + end_fraction)    if end_fraction is given
    """
    if end_fraction is None:
        height, floor = numbers.difference(lr, end), numbers(end)
        return lambda left: np.asarray(floor + height * left)
    # TF and Keras subtract alpha from 1 in Python, so the difference is rounded, not alpha.
    top, rest, part = numbers.lr(lr), numbers(1 - end_fraction), numbers(end_fraction)
    return lambda left: np.asarray(top * (rest * left + part))
