"""A schedule that is repeated: cycle."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from optcore.schedules.base import (
    Example,
    Rate,
    RunProblem,
    Variants,
    at_least_a_step,
    finite_power,
)
from optcore.schedules.dialects import Dialectal, ScheduleDialect, by_dialect
from optcore.schedules.families.modifiers import Modifier
from optcore.schedules.families.restarts import cycle_of, per_cycle
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, RunLength
from optcore.spec.limits import MAX_COUNT


class Cycle(Modifier, Dialectal):
    """
    A schedule that is repeated; later repetitions may be lower, higher or longer.

    i is the number of completed repetitions, and repetition i takes length * t_mul ** i steps. x is
    the completed fraction (0..1) of the current repetition, and s(x) is the schedule at
    x * length::

        without a floor:  f(t) = s(x) * factor ** i
        with a floor:     f(t) = floor + (s(x) - floor) * (lr * factor ** i - floor) / (lr - floor)

    Give the lr at which the schedule ends as *floor*. The peaks are then lr * factor ** i, and
    every repetition falls to the floor.

    After *cycles* repetitions, lr stays at *floor*. Without a floor, lr stays at the end of the
    last repetition.

    If *t_mul* is above 1, dialect timm computes i with a logarithm, as timm does. The rounding of
    the logarithm may put the first step of a repetition at the end of the previous repetition.

    References:
        timm 1.0.31 cycle_mul (t_mul), cycle_decay (factor), cycle_limit (cycles) and lr_min (floor,
        and end of the schedule) of CosineLRScheduler, TanhLRScheduler and PolyLRScheduler; optax
        0.2.8 sgdr_schedule.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("timm",)
    LATER: ClassVar[frozenset[str]] = frozenset(
        {"dialect", "precision", "t_mul", "floor", "cycles", "edges"}
    )
    # A repetition has its own length, and the first repetition must be complete.
    AFTER: ClassVar[After] = "delay"
    EXAMPLE: ClassVar[Example] = {"schedule": {"kind": "rex"}, "length": 100, "factor": 0.7}
    VARIANTS: ClassVar[Variants] = {
        "cosine, t_mul 2, floor 0.1": {
            "schedule": {"kind": "cosine", "end": 0.1},
            "length": 50,
            "t_mul": 2.0,
            "factor": 0.7,
            "floor": 0.1,
        }
    }

    kind: Literal["cycle"]
    length: Duration
    """The length of the first repetition, after which the schedule starts again."""
    t_mul: float = Field(1.0, ge=1, le=1000)
    """The ratio of the length of each repetition to the length of the previous repetition."""
    factor: float = Field(1.0, gt=0)
    """The ratio of the lr in each repetition to the lr in the previous repetition."""
    floor: Rate | None = None
    """The lr to which every repetition falls, so that factor changes only the peaks. null: factor
    changes every value."""
    cycles: int | None = by_dialect(None, timm=1, ge=1, le=MAX_COUNT)
    """The number of repetitions, after which lr no longer changes; null for no limit."""
    edges: Literal["exact", "logarithm"] = by_dialect("exact", timm="logarithm")
    """How the repetition to which a step belongs is computed, if t_mul is not 1: exactly, or with
    a logarithm, as in timm."""

    def unused(self) -> Iterator[tuple[str, str]]:
        """Yield the fields that have no effect because *cycles* or *t_mul* is 1."""
        if self.cycles == 1:
            yield from ((name, "cycles is 1") for name in ("t_mul", "factor", "edges"))
        elif self.t_mul == 1:
            yield "edges", "t_mul is 1"

    def inner(self, run: RunLength) -> RunLength:
        """Return the length of one repetition."""
        return RunLength.of_part(run.span(self.length), run.steps_per_epoch)

    @property
    def rises_to_curve(self) -> bool:
        """
        Whether a warmup in dialect timm rises to the schedule's value, not to the optimizer's lr.

        The result is that of the inner schedule, and False if the inner schedule has no dialects.
        """
        return isinstance(self.schedule, Dialectal) and self.schedule.rises_to_curve

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *length* rounds to 0 steps, or if lr overflows during the run."""
        yield from super().problems_in(run)
        yield from at_least_a_step("length", self.length, run)
        times = run.total_steps / run.span(self.length)
        yield from finite_power("factor", self.factor, times)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return cycle(
            self._inner_curve(lr, run),
            lr=lr,
            length=run.span(self.length),
            t_mul=self.t_mul,
            factor=self.factor,
            floor=self.floor,
            cycles=self.cycles,
            edges=self.edges,
        )

    def _inner_curve(self, lr: float, run: RunLength) -> Curve:
        # Not self.schedule.curve(), whose first value in dialect timm is the optimizer's lr: a
        # repetition begins with f(0).
        length = self.inner(run)
        return self.schedule.behind_warmup(self.schedule._formula(lr, length), length)


def cycle(
    curve: Curve,
    *,
    lr: float,
    length: float,
    t_mul: float = 1.0,
    factor: float = 1.0,
    floor: float | None = None,
    cycles: int | None = None,
    edges: Literal["exact", "logarithm"] = "exact",
) -> Curve:
    """Return the curve that repeats *curve*, as `Cycle` documents."""

    def f(t: Array) -> Array:
        again, since = _repetition(t, length, t_mul, edges)
        over = np.zeros(t.shape, np.bool_) if cycles is None else again >= cycles
        if cycles is not None:
            again = np.minimum(again, cycles - 1)
            since = np.where(over, length, since)
        found = curve(since)
        if factor != 1:
            factors = per_cycle(partial(DOUBLE.power, factor), again)
            found = _lowered(found, lr, floor, factors)
        return found if floor is None else np.where(over, floor, found)

    return f


def _repetition(
    t: Array, length: float, t_mul: float, edges: Literal["exact", "logarithm"]
) -> tuple[Array, Array]:
    """
    Return, for each *t*, the number of completed repetitions, and a t in repetition 0.

    *t* is at a certain fraction of the current repetition. The returned t is at the same fraction
    of repetition 0.
    """
    if t_mul == 1:
        again = np.floor(t / length)
        # Not below 0: for a length that is not whole, the product may be rounded up.
        return again, np.maximum(t - again * length, 0.0)
    again, since, span = cycle_of(t, length, t_mul, edges, DOUBLE)
    return again, np.maximum(since / span * length, 0.0)


def _lowered(values: Array, lr: float, floor: float | None, factors: Array) -> Array:
    if floor is None:
        return values * factors
    # If lr equals the floor, the height is 0, by which the next line must not divide.
    height = lr - floor or 1.0
    return floor + (values - floor) * ((lr * factors - floor) / height)
