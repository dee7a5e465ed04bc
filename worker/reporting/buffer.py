"""Rows that are not stored yet: taken from the loop at little cost and kept in order."""

from __future__ import annotations

import sys
import threading
from array import array
from typing import NamedTuple

from optcore.training.reports import StepReport
from store.jobs.series import FLOAT64

BATCH_BYTES = 2**20
"""Size of a batch, about. A Redis server runs one call at a time: larger ones delay others."""


class Batch(NamedTuple):
    """
    Consecutive rows.

    Attributes:
        first: number of the first.
        data: packed as the store keeps them.
        lrs: the lr of every parameter group in each row, float64; empty if there is one group.
    """

    first: int
    data: bytes
    lrs: bytes


class RowBuffer:
    """
    The rows of a run that are not stored yet, in order.

    The loop adds rows, a second thread removes them. Adding takes no lock: extending a list is
    atomic in CPython, and `pack` only deletes from its front.

    `pack` moves what was added to arrays of numbers, which keep none of the objects that the rows
    came in. A loop that adds often should also pack often: soon after they were made, these objects
    are still in the processor's caches, and the ones freed are used again by the next steps.

    Args:
        first: number of the first row.
        width: columns of a row.
        groups: number of parameter groups, whose lrs come with each row; 0 if there is only one.
        most_bytes: size of rows and lrs at which the buffer is saturated.

    Attributes:
        add: adds the row of a step, the one after the last.
        add_all: adds the rows of many steps; if the iterator raises, those before are there.
        first: number of the first row that is not stored.
    """

    def __init__(self, *, first: int, width: int, groups: int = 0, most_bytes: int) -> None:
        self.first = first
        self._width, self._groups = width, groups
        self._most_bytes = most_bytes
        self._added: list[StepReport] = []
        # The list's own methods: a step may take 0.1 ms, and a Python call shows at that rate.
        self.add, self.add_all = self._added.append, self._added.extend
        # Reentrant, since whatever reads the arrays packs first. The loop takes it to pack, not to
        # add.
        self._lock = threading.RLock()  # guards all that follows
        self._space = threading.Condition(self._lock)
        self._values, self._lrs = array("d"), array("d")

    def pack(self) -> None:
        """Move what was added to the arrays."""
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
            # In place: `add` and `add_all` are bound to this very list, so it must never be another
            # one. What the loop has added since the copy above stays.
            del self._added[: len(added)]

    @property
    def saturated(self) -> bool:
        """Whether the loop should wait for space before it adds more."""
        with self._lock:
            self.pack()
            return FLOAT64 * (len(self._values) + len(self._lrs)) >= self._most_bytes

    def wait_for_space(self, *, timeout_s: float) -> bool:
        """Wait until the buffer is not saturated, at most *timeout_s*; return whether it is not."""
        with self._space:
            return self._space.wait_for(lambda: not self.saturated, timeout=timeout_s)

    def batch(self) -> Batch:
        """Return the first rows, no more than should be sent at once; they stay until `drop`."""
        with self._lock:
            # At least one: a row of many columns may alone be larger than a batch.
            rows = min(len(self), max(1, BATCH_BYTES // (FLOAT64 * self._width)))
            return Batch(
                self.first,
                _packed(self._values[: rows * self._width]),
                _packed(self._lrs[: rows * self._groups]),
            )

    def drop(self, batch: Batch) -> None:
        """Remove the rows of *batch*, the first ones: they are stored."""
        with self._space:
            del self._values[: len(batch.data) // FLOAT64], self._lrs[: len(batch.lrs) // FLOAT64]
            self.first += len(batch.data) // FLOAT64 // self._width
            self._space.notify_all()

    def __len__(self) -> int:
        with self._lock:
            self.pack()
            return len(self._values) // self._width


def _packed(values: array[float]) -> bytes:
    """Return float64s as the store keeps them."""
    if sys.byteorder == "big":
        # *values* is a slice, so a copy: the buffer keeps its own order.
        values.byteswap()
    return values.tobytes()
