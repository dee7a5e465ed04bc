"""What a schedule will do in a run, before it runs; and whether a run did it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optcore.schedules.make import Followed, Schedule, make_schedule
from optcore.spec.errors import Problem, SpecError
from optcore.spec.schedules import ScheduleSpec

BLOCK = 1_000_000
"""Steps whose lr is computed at a time."""


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
    peak, peak_step, lowest, lowest_step = -np.inf, 0, np.inf, 0
    area = 0.0
    first = last = 0.0
    for start, lrs in blocks(schedule, total_steps) if values is None else [(0, values)]:
        require_finite(lrs, np.arange(start, start + len(lrs)), param)
        first, last = first if start else float(lrs[0]), float(lrs[-1])
        high, low = int(lrs.argmax()), int(lrs.argmin())
        if lrs[high] > peak:
            peak, peak_step = float(lrs[high]), start + high
        if lrs[low] < lowest:
            lowest, lowest_step = float(lrs[low]), start + low
        area += float(lrs.sum())
    warnings = list(spec.warnings(**sizes))
    rise = spec.rise(**sizes)
    if rise >= total_steps:
        warnings.append(
            f"schedule: lr is still in its warmup when the run of {total_steps} steps ends"
        )
    if lowest < 0:
        warnings.append(
            f"schedule: lr goes below 0, to {lowest:.4g} at step {lowest_step}, by its own "
            "formula; put a clamp around it"
        )
    return SchedulePlan(
        first=first,
        last=last,
        peak=peak,
        peak_step=peak_step,
        lowest=lowest,
        area=area,
        warmup_share=min(1.0, rise / total_steps),
        warnings=warnings,
    )


def blocks(schedule: Schedule, total_steps: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield (first step, lr of it and the steps after it) until every step was there."""
    for start in range(0, total_steps, BLOCK):
        with np.errstate(all="ignore"):  # what is not finite is a problem with a name
            lrs = schedule(np.arange(start, min(start + BLOCK, total_steps)))
        yield start, lrs


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
