"""Values of scheduled hyperparameters, as an optimizer reads them: one update at a time."""

from __future__ import annotations

import numpy as np

from optcore.schedules.make import MetricDrivenSchedule, Schedule

BLOCK = 4096
"""Number of schedule values computed at once: a numpy call takes 10 us even for one value."""


class ScheduledValue:
    """A scheduled hyperparameter, whose values are computed `BLOCK` at a time."""

    def __init__(self, schedule: Schedule, factor: float = 1.0) -> None:
        self._schedule, self._factor = schedule, factor
        self._start, self._block = 0, np.empty(0)

    def __call__(self, t: int) -> float:
        """Return the value for the next update after *t* updates."""
        if not self._start <= t < self._start + len(self._block):
            self._start = t
            self._block = self._schedule(np.arange(t, t + BLOCK))
        # Multiplied in double, after the schedule: the worker compares each lr with the plan, which
        # is computed in the same way.
        return float(self._block[t - self._start]) * self._factor


class MetricDrivenValue:
    """
    A hyperparameter whose schedule depends on a metric: only the next value is known.

    Attributes:
        schedule: the schedule, whose `observe` must be called with each value of the metric.
    """

    def __init__(self, schedule: MetricDrivenSchedule, factor: float = 1.0) -> None:
        self.schedule, self._factor = schedule, factor

    def __call__(self, t: int) -> float:
        """Return the value for the next update after *t* updates, from the metric values so far."""
        return float(self.schedule(t)) * self._factor


Plan = ScheduledValue | MetricDrivenValue
"""A function from the number of updates so far to a hyperparameter's value in the next update."""
