"""When a loop of short steps looks up from them."""

from __future__ import annotations

import time
from collections.abc import Callable

GLANCES = 4
"""Looks at the clock in every period. Each costs some 10 us, as little of what it needs is in the
processor's caches after so many steps."""


class Pace:
    """
    Divides a loop's time into periods, and lets it count steps in place of looking at the clock.

    For a step may take 0.1 ms, and looking at the clock after each costs a percent of that. So the
    loop asks how many steps to make before it asks again: about a quarter of a period's, by the
    pace of the last ones. If steps become 4 times as long, a period ends a period late.

    Args:
        row: steps made so far.
        period_s: seconds of a period. The first is over at once.
        clock: seconds, never going back.
    """

    def __init__(
        self, row: int, period_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._row, self._period_s, self._clock = row, period_s, clock
        self._asked_at = self._ends_at = clock()
        self._steps = 1  # to make before the next look at the clock

    def ask(self, row: int) -> int:
        """Return how many steps to make before asking again, if *row* are made: 0 if time is up."""
        now = self._clock()
        made, took_s = row - self._row, now - self._asked_at
        self._row, self._asked_at = row, now
        self._steps = max(1, int(made * self._period_s / GLANCES / took_s)) if took_s else 1
        return 0 if now >= self._ends_at else self._steps

    def begin(self) -> int:
        """Begin a period now; return how many steps to make before asking."""
        self._asked_at = self._clock()
        self._ends_at = self._asked_at + self._period_s
        return self._steps
