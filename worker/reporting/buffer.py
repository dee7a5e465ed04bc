"""The buffer of rows that are not stored yet; the training loop adds rows to it at little cost."""

from __future__ import annotations

import sys
import threading
from array import array
from typing import NamedTuple

from optcore.training.reports import StepReport
from store.jobs.series import FLOAT64

BATCH_BYTES = 2**20
"""Approximate maximum size of a batch in bytes. Redis runs one call at a time, so a large call
delays the others."""


class Batch(NamedTuple):
    """
    Rows of consecutive steps, to be sent in one call. A row has the metrics of one step.

    Attributes:
        first: the number of the first row.
        data: the rows, packed as they are stored in Redis.
        lrs: for each row, the lr of each parameter group, as float64; empty if there is only one
            group.
    """

    first: int
    data: bytes
    lrs: bytes


class RowBuffer:
    """
    The rows of a run that are not stored yet, in order. A row has the metrics of one step.

    The training loop adds rows, and a second thread removes them. Adding takes no lock: extending a
    list is atomic in CPython, and `pack` only deletes from the front of the list.

    `pack` moves the added reports to arrays of numbers and frees the report objects. A loop that
    adds often should also pack often: soon after their creation, the objects are still in the
    processor's caches, and the memory of freed objects is used again for the next steps.

    Args:
        first: the number of the first row that the loop will add.
        width: the number of columns in a row.
        groups: the number of parameter groups, whose lrs come with each row; 0 if there is only one
            group.
        most_bytes: the size of rows and lrs, in bytes, at which the buffer is saturated.

    Attributes:
        add: a method that adds the report of the next step.
        add_all: a method that adds the reports of the next steps from an iterator. If the iterator
            raises, the reports before the error have been added.
        first: the number of the first row that is not stored.
    """

    def __init__(self, *, first: int, width: int, groups: int = 0, most_bytes: int) -> None:
        self.first = first
        self._width, self._groups = width, groups
        self._most_bytes = most_bytes
        self._added: list[StepReport] = []
        # The list's own methods: a step may take 0.1 ms, and a Python call costs time at that rate.
        self.add, self.add_all = self._added.append, self._added.extend
        # Reentrant, since every method that reads the arrays packs first. The loop takes the lock
        # to pack, but not to add.
        self._lock = threading.RLock()  # guards everything below
        self._space = threading.Condition(self._lock)
        self._values, self._lrs = array("d"), array("d")

    def pack(self) -> None:
        """Move the added reports into the arrays."""
        with self._lock:
            added = self._added[:]  # the loop may add more meanwhile
            if not added:
                return
            row = self.first + len(self._values) // self._width
            steps = added[0].step, added[-1].step
            assert steps == (row, row + len(added) - 1), f"rows from {row} are of steps {steps}"
            append = self._values.append
            for _, lr, loss, lrs, values in added:
                append(lr)
                append(loss)
                if values:
                    self._values.extend(values)
                if lrs:
                    self._lrs.extend(lrs)
            # Deleted in place: `add` and `add_all` are bound to this list, so it must never be
            # replaced. Reports that the loop has added since the copy above stay.
            del self._added[: len(added)]

    @property
    def saturated(self) -> bool:
        """Whether the loop should wait for space before it adds more rows."""
        with self._lock:
            self.pack()
            return FLOAT64 * (len(self._values) + len(self._lrs)) >= self._most_bytes

    def wait_for_space(self, *, timeout_s: float) -> bool:
        """Wait up to *timeout_s* seconds for space; return whether the buffer has space now."""
        with self._space:
            return self._space.wait_for(lambda: not self.saturated, timeout=timeout_s)

    def batch(self) -> Batch:
        """Return as many of the first rows as one call should send; the rows stay in the buffer."""
        with self._lock:
            # At least one row: with many columns, a single row may be larger than a batch.
            rows = min(len(self), max(1, BATCH_BYTES // (FLOAT64 * self._width)))
            return Batch(
                self.first,
                _packed(self._values[: rows * self._width]),
                _packed(self._lrs[: rows * self._groups]),
            )

    def drop(self, batch: Batch) -> None:
        """Remove the rows in *batch*, which are stored; they must be the first in the buffer."""
        with self._space:
            del self._values[: len(batch.data) // FLOAT64], self._lrs[: len(batch.lrs) // FLOAT64]
            self.first += len(batch.data) // FLOAT64 // self._width
            self._space.notify_all()

    def __len__(self) -> int:
        with self._lock:
            self.pack()
            return len(self._values) // self._width


def _packed(values: array[float]) -> bytes:
    """Return *values* as bytes in little-endian order, as they are stored in Redis."""
    if sys.byteorder == "big":
        # *values* is a slice, and so a copy: the buffer's own values keep their byte order.
        values.byteswap()
    return values.tobytes()
