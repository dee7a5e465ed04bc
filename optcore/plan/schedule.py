"""What a schedule will do in a run, before it runs."""

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
"""Warnings of a plan; of further ones it has only the number."""


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
    Return the plan of the schedule *spec*, computed at every step of the run.

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
    run = RunLength(total_steps, steps_per_epoch)
    schedule = make_schedule(spec, lr=lr, **run._asdict())
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
    """The numbers of a plan, gathered from blocks of values in the order of their steps."""

    def __init__(self, total_steps: int) -> None:
        self.total_steps = total_steps
        self.num_seen = 0
        self.first = self.last = self.area = 0.0
        self.peak, self.peak_step = -np.inf, 0
        self.lowest, self.lowest_step = np.inf, 0

    def add(self, steps: NDArray[np.int64], lrs: NDArray[np.float64], param: str) -> None:
        """Add the *lrs* at *steps*; one that is not finite is an error at *param*."""
        require_finite(lrs, steps, param)
        self.first = self.first if self.num_seen else float(lrs[0])
        self.last = float(lrs[-1])
        high, low = int(lrs.argmax()), int(lrs.argmin())
        # Strictly, so that the first step with the peak stays, as argmax has it within a block.
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
        """Yield that lr is negative somewhere, and that not every step was computed."""
        if self.lowest < 0:
            yield (
                f"schedule: lr goes below 0, to {self.lowest:.4g} at step {self.lowest_step}, by "
                "its own formula; put a clamp around it"
            )
        if self.num_seen < self.total_steps:
            yield (
                f"schedule: the numbers of lr are those of {self.num_seen} of the run's "
                f"{self.total_steps} steps: to compute all would take too long"
            )


def _unfinished_warmup(rise: int, total_steps: int) -> Iterator[str]:
    if rise >= total_steps:
        yield f"schedule: lr is still in its warmup when the run of {total_steps} steps ends"


def _first(warnings: Iterable[str]) -> list[str]:
    """Return the first warnings, and a line with the number of the others."""
    left = iter(warnings)
    told = list(islice(left, MOST_WARNINGS))
    more = sum(1 for _ in left)
    return [*told, f"and {more} more warnings"] if more else told
