"""Rows on their way: taken from the loop at little cost, kept in order until they are stored."""

from __future__ import annotations

import sys
import threading
from array import array
from typing import NamedTuple

from optcore.training.reports import StepReport
from store.jobs.series import FLOAT64

BATCH_BYTES = 2**20
"""Bytes that go to the store at once, about: it serves others between two batches."""


class Batch(NamedTuple):
    """
    Some rows, one after another.

    Attributes:
        first: number of the first.
        data: as the store keeps them.
        lrs: that of every group of parameters in each of them, float64, if there are several.
    """

    first: int
    data: bytes
    lrs: bytes


class Rows:
    """
    Rows that are not stored yet, in order.

    One thread adds, at every step, and extending a list needs no lock, though steps are made
    meanwhile and others take from its front: item by item it goes to where the list ends by then.
    Whoever looks at rows first packs what was added: its numbers go to an array, which keeps none
    of the objects that they came in. Who adds often should also `pack` often: soon after, these
    objects are still in the processor's caches, and those of the next steps take their place there.

    Args:
        first: number of the first row.
        width: columns of a row.
        groups: of parameters, whose lrs come with each row; 0 if there is only one.
        most_bytes: of rows and lrs, before the rows are too many.

    Attributes:
        add: takes the row of a step, the one after the last.
        add_all: takes those of many, one after another: what came before an error is there.
        first: number of the first row that is not stored.
    """

    def __init__(self, *, first: int, width: int, groups: int = 0, most_bytes: int) -> None:
        self.first = first
        self._width, self._groups = width, groups
        self._most_bytes = most_bytes
        self._added: list[StepReport] = []
        # No more than that: a step may take 0.1 ms.
        self.add, self.add_all = self._added.append, self._added.extend
        self._lock = threading.RLock()  # of all that follows
        self._values, self._lrs = array("d"), array("d")

    def pack(self) -> None:
        """Move what was added to the arrays."""
        with self._lock:
            added = self._added[:]  # more may come meanwhile
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
            del self._added[: len(added)]

    @property
    def too_many(self) -> bool:
        """Whether whoever adds should let the others catch up."""
        with self._lock:
            self.pack()
            return FLOAT64 * (len(self._values) + len(self._lrs)) >= self._most_bytes

    def batch(self) -> Batch:
        """Return the first rows, at most so many as should go at once; they stay until `drop`."""
        with self._lock:
            rows = min(len(self), max(1, BATCH_BYTES // (FLOAT64 * self._width)))
            return Batch(
                self.first,
                _packed(self._values[: rows * self._width]),
                _packed(self._lrs[: rows * self._groups]),
            )

    def drop(self, batch: Batch) -> None:
        """Forget the rows of *batch*, the first ones: they are stored."""
        with self._lock:
            del self._values[: len(batch.data) // FLOAT64], self._lrs[: len(batch.lrs) // FLOAT64]
            self.first += len(batch.data) // FLOAT64 // self._width

    def __len__(self) -> int:
        with self._lock:
            self.pack()
            return len(self._values) // self._width


def _packed(values: array[float]) -> bytes:
    """Return float64s as the store keeps them."""
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
