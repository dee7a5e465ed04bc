"""What a schedule will do in a run, before it runs; and whether a run did it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optcore.schedules.base import ScheduleSpec
from optcore.schedules.make import Followed, Schedule, make_schedule
from optcore.spec.errors import Problem, SpecError

BLOCK = 1_000_000
"""Steps whose lr is computed at a time."""
MOST_PLANNED = 10_000_000
"""Values computed for one plan, those of all parts of its schedule: a second or so."""
SAMPLE = 1_000_000
"""Steps that are looked at, at most, where that would be too many."""
EDGE = 1000
"""Steps at either end of a run that are never left out."""
MOST_WARNINGS = 20
"""Warnings of a plan; of further ones only the number is told."""


@dataclass(frozen=True)
class SchedulePlan:
    """
    A schedule over a whole run, in a few numbers.

    Attributes:
        first: lr of the first update.
        last: lr of the last update.
        peak: the highest lr.
        peak_step: the first update that has it.
        lowest: the lowest lr.
        area: lr summed over the updates, which is how far the weights can go.
        warmup_share: part of the updates that belong to the warmup, in 0..1.
        warnings: what is allowed but probably not meant, a sentence each.
    """

    first: float
    last: float
    peak: float
    peak_step: int
    lowest: float
    area: float
    warmup_share: float
    warnings: list[str]


def plan(
    spec: ScheduleSpec,
    *,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
    values: NDArray[np.float64] | None = None,
    param: str = "schedule",
) -> SchedulePlan:
    """
    Return what *spec* comes to, computed at every step of the run.

    Where that would be more than `MOST_PLANNED` values, steps are sampled, and a warning says so.

    Args:
        spec: the schedule.
        lr: what it starts from.
        total_steps: length of the run.
        steps_per_epoch: what a duration in epochs is multiplied by.
        values: lr at every step, where it is known already.
        param: where the spec is, for the error.

    Raises:
        SpecError: a duration does not fit the run, or lr is not a finite number somewhere.
    """
    sizes = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    schedule = make_schedule(spec, lr=lr, **sizes)
    seen = _Seen(total_steps)
    if values is not None:
        seen.look(np.arange(len(values)), values, param)
    else:
        for steps in _looked_at(total_steps, spec.cost(total_steps, steps_per_epoch)):
            with np.errstate(all="ignore"):  # what is not finite is a problem with a name
                lrs = schedule(steps)
            seen.look(steps, lrs, param)
    rise = spec.rise(**sizes)
    return SchedulePlan(
        first=seen.first,
        last=seen.last,
        peak=seen.peak,
        peak_step=seen.peak_step,
        lowest=seen.lowest,
        area=seen.area,
        warmup_share=min(1.0, rise / total_steps),
        warnings=_first(
            [*spec.warnings(**sizes), *_endless_rise(rise, total_steps), *seen.warnings()]
        ),
    )


class _Seen:
    """What is known of an lr that is looked at block by block, in the order of the steps."""

    def __init__(self, total_steps: int) -> None:
        self.total_steps = total_steps
        self.num_seen = 0
        self.first = self.last = self.area = 0.0
        self.peak, self.peak_step = -np.inf, 0
        self.lowest, self.lowest_step = np.inf, 0

    def look(self, steps: NDArray[np.int64], lrs: NDArray[np.float64], param: str) -> None:
        """Take note of the *lrs* at *steps*; one that is no number is an error of *param*."""
        require_finite(lrs, steps, param)
        self.first = self.first if self.num_seen else float(lrs[0])
        self.last = float(lrs[-1])
        high, low = int(lrs.argmax()), int(lrs.argmin())
        if lrs[high] > self.peak:
            self.peak, self.peak_step = float(lrs[high]), int(steps[high])
        if lrs[low] < self.lowest:
            self.lowest, self.lowest_step = float(lrs[low]), int(steps[low])
        gaps = steps[-1] - steps[0] >= len(steps)
        # Of what is sampled each value stands for the steps up to the next one.
        area = lrs @ np.diff(steps, append=self.total_steps) if gaps else lrs.sum()
        self.area += float(area)
        self.num_seen += len(steps)

    def warnings(self) -> Iterator[str]:
        """Yield what is probably not meant, and that not every step was looked at."""
        if self.lowest < 0:
            yield (
                f"schedule: lr goes below 0, to {self.lowest:.4g} at step {self.lowest_step}, by "
                "its own formula; put a clamp around it"
            )
        if self.num_seen < self.total_steps:
            yield (
                f"schedule: the numbers of lr are those of {self.num_seen} of the run's "
                f"{self.total_steps} steps: to look at each would take long"
            )


def _endless_rise(rise: int, total_steps: int) -> Iterator[str]:
    if rise >= total_steps:
        yield f"schedule: lr is still in its warmup when the run of {total_steps} steps ends"


def _first(warnings: Iterable[str]) -> list[str]:
    """Return the first warnings, and how many more there are."""
    left = iter(warnings)
    told = list(islice(left, MOST_WARNINGS))
    more = sum(1 for _ in left)
    return [*told, f"and {more} more warnings"] if more else told


def _looked_at(total_steps: int, cost: int) -> Iterator[NDArray[np.int64]]:
    """Yield all steps, block by block, or some of them where all cost too much."""
    if cost > MOST_PLANNED:
        yield sampled(total_steps, min(SAMPLE, total_steps * MOST_PLANNED // cost))
        return
    for start in range(0, total_steps, BLOCK):
        yield np.arange(start, min(start + BLOCK, total_steps))


def sampled(total_steps: int, most: int) -> NDArray[np.int64]:
    """Return every step, or about *most* of them: both ends whole, the others evenly apart."""
    if total_steps <= max(most, 2 * EDGE):
        return np.arange(total_steps)
    between = np.linspace(0, total_steps - 1, max(most, EDGE)).astype(np.int64)
    ends = [np.arange(EDGE), np.arange(total_steps - EDGE, total_steps)]
    steps = np.sort(np.concatenate([*ends, between]))
    # np.unique puts a million into a hash table, and holds the interpreter for a second over it.
    return steps[np.diff(steps, prepend=-1) > 0]


def require_finite(values: NDArray[np.float64], steps: NDArray[np.int64], param: str) -> None:
    """Raise `SpecError` for the schedule at *param* if one of its *values* is no number."""
    wrong = ~np.isfinite(values)
    if wrong.any():
        at = int(np.argmax(wrong))
        rule = f"{param} must give a finite number at every step"
        raise SpecError([Problem(param, f"{rule}, got {values[at]} at step {steps[at]}")])


def first_divergence(
    schedule: Schedule, t: ArrayLike, applied: Sequence[float] | NDArray[np.float64]
) -> int | None:
    """
    Return the index of the first *applied* lr that is not exactly what was planned, or None.

    A schedule that follows a metric has no plan beyond what it was told: None.

    Args:
        schedule: the plan.
        t: how many updates had been applied before each of these; not the row number, where
            updates were skipped.
        applied: the lr that each update was made with, in float64.
    """
    if isinstance(schedule, Followed):
        return None
    wrong = np.flatnonzero(schedule(np.asarray(t)) != np.asarray(applied, np.float64))
    return int(wrong[0]) if len(wrong) else None
