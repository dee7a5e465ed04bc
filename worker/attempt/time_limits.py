"""Limits on the time without progress, in each phase of an attempt."""

from __future__ import annotations

import statistics
from collections import deque
from typing import Literal

from store.settings import Settings
from worker.reporting.retry import GIVE_UP_AFTER_S

Phase = Literal["setup", "step", "checkpoint", "store"]
"""A phase of an attempt. Each has its own time limit; ``store`` means waiting for Redis."""

STORE_LIMIT_S = GIVE_UP_AFTER_S + 60.0
"""Time limit in seconds of the phase ``store``. Retried calls give up sooner, with an error."""
STEP_FACTOR = 20
"""A step may take this many times the median duration of the last steps, even if that is longer
than the limit in the settings."""


class TimeLimits:
    """
    The time limits of an attempt's phases: setup, step, checkpoint, and store.

    The limit of a step is the one in the settings, or 20 times the median duration of the last 100
    steps if that is longer.

    Args:
        settings: the settings of the service.
    """

    def __init__(self, settings: Settings) -> None:
        self._limits_s: dict[Phase, float] = {
            "setup": settings.setup_limit_s,
            "step": settings.step_limit_s,
            "checkpoint": settings.checkpoint_limit_s,
            "store": STORE_LIMIT_S,
        }
        self._steps: deque[float] = deque(maxlen=100)

    def add_step(self, duration_s: float) -> None:
        """Record that a step took *duration_s* seconds."""
        self._steps.append(duration_s)

    def of(self, phase: Phase) -> float:
        """Return the time limit of *phase* in seconds."""
        limit = self._limits_s[phase]
        # If all steps of a run take minutes, the run is slow and not hung.
        if phase == "step" and self._steps:
            return max(limit, STEP_FACTOR * statistics.median(self._steps))
        return limit
