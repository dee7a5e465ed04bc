"""Checks that the lr applied at each step is the one that the spec determines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.schedules.make import MetricDrivenSchedule, Schedule, make_schedule
from optcore.spec.groups.resolve import ResolvedGroup, displayed_group
from optcore.spec.run import RunSpec
from store.jobs.record import COLUMNS
from store.jobs.series import Series

LR = COLUMNS.index("lr")
AHEAD = 4096
"""Number of updates whose lrs are computed at once: computing a single lr would cost as much."""
T = "t"
"""Name of the column that counts updates, in runs where a step may be skipped."""


class OffPlan(NamedTuple):
    """
    The first step at which the applied lr was not the planned one.

    Attributes:
        step: the number of the step, counted from 0.
        planned: the lr that the spec determines.
        applied: the lr that the optimizer used.
        group: the pattern that names the parameter group; empty if there is only one group.
    """

    step: int
    planned: float
    applied: float
    group: str


class LrPlan:
    """
    The planned lr at every step for every parameter group, computed from the spec alone.

    The applied lr must equal the planned lr, bit for bit. The lr of a metric-driven schedule
    (plateau, greedy) cannot be planned and is not checked.

    Args:
        spec: the spec of the run.

    Attributes:
        series: the columns of the run's rows.
        groups: the number of parameter groups.
    """

    def __init__(self, spec: RunSpec) -> None:
        groups = spec.groups()
        self.groups = len(groups)
        self._displayed = displayed_group(groups, spec.optimizer.lr)
        self._names = [group.match for group in groups] if len(groups) > 1 else [""]
        self._planned = [_Planned(*_schedule(spec, group), spec.total_steps) for group in groups]
        self.series = Series(spec.columns, spec.num_computed)

    def first_off(self, first: int, data: bytes, lrs: bytes = b"") -> OffPlan | None:
        """
        Return the first step at which an lr differs from the planned one, or None.

        Args:
            first: the step of the first row in *data*.
            data: the rows, packed as they are stored in Redis.
            lrs: for each row, the lr of each parameter group, as float64; empty if there is only
                one group.
        """
        rows = np.frombuffer(data, "<f8").reshape(-1, len(self.series.columns))
        displayed, steps = rows[:, LR], np.arange(first, first + len(rows))
        # A step that is skipped, because the loss scale overflowed, does not count as an update:
        # the next step has the same t and the same lr. Columns are float64, and t is exact below
        # 2**53.
        t = (
            rows[:, self.series.columns.index(T)].astype(np.int64)
            if T in self.series.columns
            else steps
        )
        # The lr that clients see is checked against the plan of the group that it is displayed for,
        # and each group's lr against its own plan.
        columns = [(self._displayed, displayed)]
        if self.groups > 1:
            table = np.frombuffer(lrs, "<f8").reshape(len(displayed), self.groups)
            columns += enumerate(table.T)
        found = [self._off(i, steps, t, column) for i, column in columns]
        # If several groups are off plan at the same step, `min` returns the first of them.
        return min(filter(None, found), key=lambda off: off.step, default=None)

    def _off(
        self, i: int, steps: NDArray[np.int64], t: NDArray[np.int64], applied: NDArray[np.float64]
    ) -> OffPlan | None:
        planned = self._planned[i].at(t)
        if planned is None:
            return None
        # Exact comparison: both are the schedule's value times the group's factor, in float64
        # (`ScheduledValue`). An lr of NaN differs from any planned lr.
        wrong = np.flatnonzero(planned != applied)
        if not len(wrong):
            return None
        at = wrong[0]
        return OffPlan(int(steps[at]), float(planned[at]), float(applied[at]), self._names[i])


class _Planned:
    """The planned lr of a parameter group."""

    def __init__(self, schedule: Schedule, factor: float, total_steps: int) -> None:
        self._schedule, self._factor, self._total_steps = schedule, factor, total_steps
        self._first = 0
        self._values = np.empty(0)

    def at(self, t: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Return the lrs at the updates *t* (ascending), or None if they cannot be planned."""
        if isinstance(self._schedule, MetricDrivenSchedule):
            return None
        first, last = int(t[0]), int(t[-1])
        if not self._first <= first <= last < self._first + len(self._values):
            # From *first* on: updates come in ascending order, so earlier ones are not needed
            # again.
            end = max(last + 1, min(first + AHEAD, self._total_steps))
            ahead = np.arange(first, end)
            self._first, self._values = first, self._schedule(ahead) * self._factor
        return self._values[t - self._first]


def _schedule(spec: RunSpec, group: ResolvedGroup) -> tuple[Schedule, float]:
    """Return the lr schedule for *group* (its own, or the run's) and the group's lr factor."""
    schedule = make_schedule(
        group.schedule or spec.schedule,
        lr=group.spec.hyperparameters()["lr"],
        total_steps=spec.total_steps,
        steps_per_epoch=spec.steps_per_epoch,
    )
    return schedule, group.lr_scale
