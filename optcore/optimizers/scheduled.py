"""Values of scheduled hyperparameters, as an optimizer reads them: one update at a time."""

from __future__ import annotations

import numpy as np

from optcore.schedules.make import MetricDrivenSchedule, Schedule

BLOCK = 4096
"""Values of a schedule computed at once: a call of numpy takes 10 us however few they are."""


class ScheduledValue:
    """The values of a schedule, computed a block at a time."""

    def __init__(self, schedule: Schedule, factor: float = 1.0) -> None:
        self._schedule, self._factor = schedule, factor
        self._start, self._block = 0, np.empty(0)

    def __call__(self, t: int) -> float:
        """Return the value for the update after *t* updates."""
        if not self._start <= t < self._start + len(self._block):
            self._start = t
            self._block = self._schedule(np.arange(t, t + BLOCK))
        # In double, after the schedule: the worker compares each lr with a plan computed like this.
        return float(self._block[t - self._start]) * self._factor


class MetricDrivenValue:
    """
    The values of a schedule that follows a metric, which are known one update ahead.

    Attributes:
        schedule: the schedule, which must be given the metric.
    """

    def __init__(self, schedule: MetricDrivenSchedule, factor: float = 1.0) -> None:
        self.schedule, self._factor = schedule, factor

    def __call__(self, t: int) -> float:
        """Return the value for the update after *t* updates, by the metrics given so far."""
        return float(self.schedule(t)) * self._factor


Plan = ScheduledValue | MetricDrivenValue
"""From the number of updates made so far to the value of a hyperparameter for the next."""
