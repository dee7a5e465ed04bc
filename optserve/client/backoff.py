"""How long something that went away is waited for, and how often it is asked for again."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Seconds between two attempts: doubled each time."""


class Patience:
    """
    A wait that is bounded as a whole, with pauses that grow.

    It starts with `begin`, or with the first `wait`; `renew` starts it afresh.
    """

    def __init__(
        self,
        total_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._total_s, self._clock, self._sleep = total_s, clock, sleep
        self.renew()

    def renew(self) -> None:
        """Forget the failures so far."""
        self._deadline: float | None = None
        self._pause = FIRST_PAUSE_S

    def begin(self) -> None:
        """Count from now, unless that has begun."""
        if self._deadline is None:
            self._deadline = self._clock() + self._total_s

    def left_s(self) -> float:
        """Return the seconds left, never below zero."""
        if self._deadline is None:
            return self._total_s
        return max(0.0, self._deadline - self._clock())

    def wait(self) -> bool:
        """Pause before the next attempt; return False, at once, if there shall be none."""
        self.begin()
        if self.left_s() == 0:
            return False
        self._sleep(min(self._pause, self.left_s()))
        self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
        return self.left_s() > 0
