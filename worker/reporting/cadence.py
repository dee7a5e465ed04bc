"""Decides when a loop of short steps polls, and which of the two senders of rows may send."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.1
"""Seconds between two polls of the loop, when steps are shorter than this. At each poll the loop
checks for requests and sends the rows made since the last one; so a client sees at most ten updates
per second."""
CLOCK_READS = 4
"""Number of times that the clock is read in each period. A read costs some 10 us, since after many
steps the code and data it needs have left the processor's caches."""
# Five periods, so that a loop of short steps does not soon count as absent. While a step takes a
# minute, the rows before it wait no longer than this.
ABSENT_S = 0.5
"""Seconds without a poll of the loop after which the reporter's thread sends the rows."""
ANSWER_S = 0.25
"""Seconds to wait for the reply to rows that the loop sent, before the reporter's thread acts."""


class Cadence:
    """
    The clock for the reporting of an attempt: it decides when the training loop polls.

    The loop's time is divided into periods of *poll_s*. At the end of each period the loop polls:
    it sends rows, and checks for requested actions.

    A step may take 0.1 ms, and reading the clock after every step would cost a percent of that. So
    `steps_left` returns the number of steps to make before its next call. This is about as many as
    fit into a quarter of a period, at the speed of the last steps. If each step suddenly takes 4
    times as long, the next poll is late by at most one period.

    The object also records when the loop last polled, and when rows were last sent. These two times
    decide which sender may send the next rows (see `worker.reporting.reporter`).

    Args:
        poll_s: the length of a period in seconds.
        clock: a function that returns the time in seconds, which must never go back.

    Attributes:
        sent_at: the time at which rows were last sent, by *clock*.
    """

    def __init__(
        self, poll_s: float = POLL_S, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self.sent_at = self._polled_at = float("-inf")
        self._poll_s = poll_s
        self.start(0)

    def start(self, row: int) -> None:
        """Start the clock of a run that has made *row* steps; the first period ends at once."""
        self._row = row
        self._asked_at = self._ends_at = self.clock()
        self._steps = 1  # to make before the next read of the clock

    def steps_left(self, row: int) -> int:
        """
        Return the number of steps to make before the next call; 0 if the period is over.

        *row* is the number of steps made so far.
        """
        now = self.clock()
        made, took_s = row - self._row, now - self._asked_at
        self._row, self._asked_at = row, now
        # Checked for 0, since the clock may not have advanced between two reads of quick steps.
        self._steps = max(1, int(made * self._poll_s / CLOCK_READS / took_s)) if took_s else 1
        return 0 if now >= self._ends_at else self._steps

    def begin_period(self) -> int:
        """Begin a period now; return the number of steps to make before calling `steps_left`."""
        # The time since the last read (a poll, an evaluation, a checkpoint) was not used for steps.
        self._asked_at = self.clock()
        self._ends_at = self._asked_at + self._poll_s
        return self._steps

    def polled(self) -> None:
        """Record that the loop polls now; `may_send` and `answer_is_late` refer to this time."""
        self._polled_at = self.clock()

    def sent(self) -> None:
        """Record that rows are sent now."""
        self.sent_at = self.clock()

    @property
    def may_send(self) -> bool:
        """Whether the loop may send rows: at its last poll, no rows had been sent for a period."""
        # After an evaluation the loop polls sooner. The time of the poll is used, so that a poll
        # reads the clock only once.
        return self._polled_at - self.sent_at >= self._poll_s

    @property
    def answer_is_late(self) -> bool:
        """Whether the reply to rows that the loop sent should have arrived by now."""
        return self._polled_at - self.sent_at >= ANSWER_S

    def until_absent_s(self) -> float:
        """Return the seconds until the loop counts as absent, and the thread sends its rows."""
        return max(0.0, self._polled_at + ABSENT_S - self.clock())
