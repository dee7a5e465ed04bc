"""The books of an attempt: what is kept of rows that the store has, and held against the plan."""

from __future__ import annotations

import time
from collections.abc import Iterator

from store.redis.functions import CHUNK_ROWS
from worker.reporting.buffer import Batch
from worker.reporting.journal import Journal
from worker.reporting.planned import OffPlan, Plan

PAUSE_S = 5.0
"""Seconds between two entries: each costs the more for few rows."""


class Books:
    """
    Rows that are stored go here, and from here to the journal and against the plan, many at once.

    Args:
        plan: what lr should be.
        journal: keeps the rows for a store that loses some.
    """

    def __init__(self, plan: Plan, journal: Journal | None) -> None:
        self._plan, self._journal = plan, journal
        self._loose = list[Batch]()
        self._entered_at = time.monotonic()
        self._off_plan = False

    def add(self, batch: Batch) -> None:
        """Take rows, those after the last."""
        self._loose.append(batch)

    @property
    def due(self) -> bool:
        """Whether rows should be entered."""
        if not self._loose:
            return False
        first, last = self._loose[0], self._loose[-1]
        late = time.monotonic() - self._entered_at >= PAUSE_S
        return late or last.first - first.first >= CHUNK_ROWS

    def enter(self) -> OffPlan | None:
        """Enter what there is; return the first lr that was not planned, once."""
        batches, self._loose = self._loose, []
        self._entered_at = time.monotonic()
        if not batches:
            return None
        data = b"".join(batch.data for batch in batches)
        if self._journal is not None:
            self._journal.add(data)
        if self._off_plan:
            return None
        lrs = b"".join(batch.lrs for batch in batches)
        off = self._plan.first_off(batches[0].first, data, lrs)
        self._off_plan = off is not None
        return off

    def rows(self, first: int, end: int) -> Iterator[tuple[int, bytes]]:
        """
        Yield the packed rows from *first* to before *end* that were entered, as a journal does.

        Raises:
            ValueError: they are not all there.
        """
        if self._journal is None:
            raise ValueError("there is no journal")
        return self._journal.rows(first, end)
