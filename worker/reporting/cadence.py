"""When a loop of short steps polls, and which of the two senders of rows sends them."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.1
"""How often the loop polls for requests and sends rows, when steps are shorter than this. Rows of
one period are sent together; a client sees at most ten updates a second."""
CLOCK_READS = 4
"""Reads of the clock in every period. Each costs some 10 us: after so many steps, little of what
it needs is left in the processor's caches."""
# Five periods, so that a loop of short steps is not soon taken for absent. While a step takes a
# minute, the rows before it wait no longer than this.
ABSENT_S = 0.5
"""Seconds without a poll of the loop after which the thread sends the rows."""
ANSWER_S = 0.25
"""Seconds for which rows that the loop sent may go unanswered before the thread takes over."""


class Cadence:
    """
    The one clock of an attempt's reporting.

    It divides the loop's time into periods of *poll_s*. A step may take 0.1 ms, and reading the
    clock after each costs a percent of that, so the loop asks how many steps to make before it asks
    again: about as many as fit into a quarter of a period, at the speed of the last ones. If steps
    become 4 times as long, a period ends one period late.

    It also knows when the loop last polled and when rows were last sent: that decides which
    sender may send the next ones (`worker.reporting.reporter`).

    Args:
        poll_s: seconds of a period.
        clock: seconds, never going back.

    Attributes:
        sent_at: when rows were last sent, by *clock*.
    """

    def __init__(
        self, poll_s: float = POLL_S, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self.sent_at = self._polled_at = float("-inf")
        self._poll_s = poll_s
        self.start(0)

    def start(self, row: int) -> None:
        """Start at *row*, the number of steps made; the first period is over at once."""
        self._row = row
        self._asked_at = self._ends_at = self.clock()
        self._steps = 1  # to make before the next read of the clock

    def steps_left(self, row: int) -> int:
        """Return how many steps to make before asking again; 0 if the period is over at *row*."""
        now = self.clock()
        made, took_s = row - self._row, now - self._asked_at
        self._row, self._asked_at = row, now
        # Guarded, since a clock may not have moved between two reads of quick steps.
        self._steps = max(1, int(made * self._poll_s / CLOCK_READS / took_s)) if took_s else 1
        return 0 if now >= self._ends_at else self._steps

    def begin_period(self) -> int:
        """Begin a period now; return how many steps to make before asking."""
        # Whatever was done since the last read (a poll, an evaluation, a checkpoint) was no step.
        self._asked_at = self.clock()
        self._ends_at = self._asked_at + self._poll_s
        return self._steps

    def polled(self) -> None:
        """Note that the loop polls now; `may_send` and `answer_is_late` are as of this moment."""
        self._polled_at = self.clock()

    def sent(self) -> None:
        """Note that rows are sent now."""
        self.sent_at = self.clock()

    @property
    def may_send(self) -> bool:
        """Whether a period has passed since rows were last sent: an evaluation polls sooner."""
        # By the time of the poll: one read of the clock serves all of it.
        return self._polled_at - self.sent_at >= self._poll_s

    @property
    def answer_is_late(self) -> bool:
        """Whether rows that were sent should have been answered."""
        return self._polled_at - self.sent_at >= ANSWER_S

    def until_absent_s(self) -> float:
        """Return for how many seconds the thread still leaves the rows to the loop."""
        return max(0.0, self._polled_at + ABSENT_S - self.clock())
