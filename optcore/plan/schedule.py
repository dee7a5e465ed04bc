"""The plan of a schedule: a summary of its values over a whole run, computed before the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from optcore.plan.sampling import planned_steps, require_finite
from optcore.schedules.base import ScheduleSpec
from optcore.schedules.make import make_schedule
from optcore.spec.duration import RunLength

MOST_WARNINGS = 20
"""Largest number of warnings in a plan; further warnings are only counted."""


@dataclass(frozen=True)
class SchedulePlan:
    """
    A summary of the values of a schedule over a whole run.

    Attributes:
        first: lr of the first update.
        last: lr of the last update.
        peak: the highest lr.
        peak_step: step of the first update with the highest lr.
        lowest: the lowest lr.
        area: sum of lr over all updates, a measure of how far the weights can move.
        warmup_share: share of the updates that belong to the warmup, in 0..1.
        warnings: sentences about values that are valid but probably not intended.
    """

    first: float
    last: float
    peak: float
    peak_step: int
    lowest: float
    area: float
    warmup_share: float
    warnings: list[str]


def plan_schedule(
    spec: ScheduleSpec,
    *,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
    values: NDArray[np.float64] | None = None,
    param: str = "schedule",
) -> SchedulePlan:
    """
    Return the plan of the schedule *spec*, computed from its value at every step of the run.

    If more than `MOST_PLANNED` values would be computed, steps are sampled, and a warning in the
    plan says so.

    Args:
        spec: the schedule.
        lr: learning rate that the schedule starts from.
        total_steps: length of the run in steps.
        steps_per_epoch: number of steps in an epoch, for durations in epochs.
        values: lr at every step, if it is known already; None to compute it.
        param: path of the schedule in the spec, for the error message.

    Raises:
        SpecError: a duration does not fit the run, or lr is not finite at some step.
    """
    run = RunLength(total_steps, steps_per_epoch)
    schedule = make_schedule(spec, lr=lr, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    summary = _Summary(total_steps)
    if values is not None:
        summary.add(np.arange(len(values)), values, param)
    else:
        for steps in planned_steps(total_steps, spec.cost(run)):
            with np.errstate(
                all="ignore"
            ):  # numbers that are not finite get an error with the step
                lrs = schedule(steps)
            summary.add(steps, lrs, param)
    rise = spec.num_warmup_steps(run)
    return SchedulePlan(
        first=summary.first,
        last=summary.last,
        peak=summary.peak,
        peak_step=summary.peak_step,
        lowest=summary.lowest,
        area=summary.area,
        warmup_share=min(1.0, rise / total_steps),
        warnings=_first(
            [*spec.warnings_in(run), *_unfinished_warmup(rise, total_steps), *summary.warnings()]
        ),
    )


class _Summary:
    """The numbers of a plan, computed from blocks of values that are added in order of steps."""

    def __init__(self, total_steps: int) -> None:
        self.total_steps = total_steps
        self.num_seen = 0
        self.first = self.last = self.area = 0.0
        self.peak, self.peak_step = -np.inf, 0
        self.lowest, self.lowest_step = np.inf, 0

    def add(self, steps: NDArray[np.int64], lrs: NDArray[np.float64], param: str) -> None:
        """Add the values *lrs* at *steps*; raise `SpecError` about *param* if any is not finite."""
        require_finite(lrs, steps, param)
        self.first = self.first if self.num_seen else float(lrs[0])
        self.last = float(lrs[-1])
        high, low = int(lrs.argmax()), int(lrs.argmin())
        # Strictly, so that the first step with the peak counts, as argmax does within a block.
        if lrs[high] > self.peak:
            self.peak, self.peak_step = float(lrs[high]), int(steps[high])
        if lrs[low] < self.lowest:
            self.lowest, self.lowest_step = float(lrs[low]), int(steps[low])
        gaps = steps[-1] - steps[0] >= len(steps)
        # A sampled value stands for all steps up to the next sample.
        area = lrs @ np.diff(steps, append=self.total_steps) if gaps else lrs.sum()
        self.area += float(area)
        self.num_seen += len(steps)

    def warnings(self) -> Iterator[str]:
        """Yield a warning if lr is negative at some step, and one if steps were sampled."""
        if self.lowest < 0:
            yield (
                f"schedule: lr goes below 0, to {self.lowest:.4g} at step {self.lowest_step}, as "
                "the schedule's formula says; put a clamp around the schedule to prevent this"
            )
        if self.num_seen < self.total_steps:
            yield (
                f"schedule: this plan is computed from {self.num_seen} of the run's "
                f"{self.total_steps} steps, since all of them would take too long"
            )


def _unfinished_warmup(rise: int, total_steps: int) -> Iterator[str]:
    if rise >= total_steps:
        yield f"schedule: lr is still in its warmup when the run of {total_steps} steps ends"


def _first(warnings: Iterable[str]) -> list[str]:
    """Return the first `MOST_WARNINGS` of *warnings*, and a line that counts any others."""
    left = iter(warnings)
    told = list(islice(left, MOST_WARNINGS))
    more = sum(1 for _ in left)
    return [*told, f"and {more} more warnings"] if more else told
