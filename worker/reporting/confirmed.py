"""
Holds rows that Redis has confirmed, until they are in the journal and their lrs are checked.

A row has the metrics of one step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from store.redis.constants import CHUNK_ROWS
from worker.reporting.buffer import Batch
from worker.reporting.journal import Journal
from worker.reporting.planned import LrPlan, OffPlan

FLUSH_EVERY_S = 5.0
"""Seconds between two flushes. A flush costs as much for a few rows as for some thousand, and
keeps the loop from running meanwhile."""


class ConfirmedRows:
    """
    Collects rows that Redis has confirmed.

    A flush appends the rows to the journal, and compares their lrs with the plan.

    Args:
        plan: the planned lr at every step.
        journal: the journal to append rows to; None for no journal.
        clock: a function that returns the time in seconds, which must never go back.
    """

    def __init__(
        self, plan: LrPlan, journal: Journal | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._plan, self._journal, self._clock = plan, journal, clock
        self._pending = list[Batch]()
        self._flushed_at = clock()
        self._off_plan = False

    def add(self, batch: Batch) -> None:
        """Add the next rows, which Redis has confirmed."""
        self._pending.append(batch)

    @property
    def due(self) -> bool:
        """Whether `flush` should be called now."""
        if not self._pending:
            return False
        first, last = self._pending[0], self._pending[-1]
        late = self._clock() - self._flushed_at >= FLUSH_EVERY_S
        # The number of rows counts too, so that a backlog which is stored at once does not stay in
        # memory.
        return late or last.first - first.first >= CHUNK_ROWS

    def flush(self) -> OffPlan | None:
        """
        Append all rows added so far to the journal, and check their lrs.

        Return the first step at which an lr differs from the plan, or None if there is no such
        step. Once a flush has returned a step, further flushes check no lrs and return None.
        """
        batches, self._pending = self._pending, []
        self._flushed_at = self._clock()
        if not batches:
            return None
        data = b"".join(batch.data for batch in batches)
        # First, and even if an lr was off plan before: the journal must have every row.
        if self._journal is not None:
            self._journal.add(data)
        if self._off_plan:  # the job is marked as off plan: further rows need not be checked
            return None
        lrs = b"".join(batch.lrs for batch in batches)
        off = self._plan.first_off(batches[0].first, data, lrs)
        self._off_plan = off is not None
        return off

    def rows(self, first: int, end: int) -> Iterator[tuple[int, bytes]]:
        """
        Yield the flushed rows from *first* up to but not including *end*, as `Journal.rows` does.

        Raises:
            ValueError: the journal does not have all of these rows.
        """
        if self._journal is None:
            raise ValueError("there is no journal")
        return self._journal.rows(first, end)
