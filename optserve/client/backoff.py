"""Retries: how long to keep trying, and how long to wait between two attempts."""

from __future__ import annotations

import time
from collections.abc import Callable

INITIAL_DELAY_S, MAX_DELAY_S = 0.1, 5.0
"""The first and the largest delay in seconds; the delay doubles after each attempt."""


class Backoff:
    """
    Exponential backoff with one deadline for all attempts together.

    The time until the deadline counts from `start`, or from the first `wait` if `start` is not
    called.

    Args:
        total_s: seconds until the deadline.
        clock: a function that returns the time in seconds.
        sleep: a function that waits for a number of seconds.
    """

    def __init__(
        self,
        total_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.total_s = total_s
        self._clock, self._sleep = clock, sleep
        self.reset()

    def reset(self) -> None:
        """Forget the deadline and the delays so far, as if no attempt had failed."""
        self._deadline: float | None = None
        self._delay_s = INITIAL_DELAY_S

    def start(self) -> None:
        """Set the deadline to *total_s* seconds from now, if it is not set already."""
        if self._deadline is None:
            self._deadline = self._clock() + self.total_s

    def remaining_s(self) -> float:
        """Return the seconds until the deadline: *total_s* before it is set, 0 once it is past."""
        if self._deadline is None:
            return self.total_s
        return max(0.0, self._deadline - self._clock())

    def wait(self) -> bool:
        """
        Sleep until the next attempt is due; return whether the deadline still allows that attempt.

        After the deadline, return False without sleeping.
        """
        self.start()
        if self.remaining_s() == 0:
            return False
        # Not beyond the deadline, at which the caller reports the error.
        self._sleep(min(self._delay_s, self.remaining_s()))
        self._delay_s = min(2 * self._delay_s, MAX_DELAY_S)
        return self.remaining_s() > 0
