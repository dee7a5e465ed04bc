"""Rows on their way: taken from the loop at little cost, kept in order until they are stored."""

from __future__ import annotations

import sys
from array import array
from typing import NamedTuple

from jobs.metrics import FLOAT64
from optcore.training.reports import StepReport

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

    One thread adds; one at a time takes. As rows are added at every step, that needs no lock:
    numbers are appended to an array, which no other thread can see half done, and which keeps none
    of the objects that they came in.

    Args:
        first: number of the first row.
        width: columns of a row.
        groups: of parameters, whose lrs come with each row; 0 if there is only one.
        most_bytes: of rows and lrs, before the rows are too many.

    Attributes:
        first: number of the first row that is not stored.
        last: step that was added last.
    """

    def __init__(self, *, first: int, width: int, groups: int = 0, most_bytes: int) -> None:
        self.first, self.last = first, first - 1
        self._width, self._groups, self._most_bytes = width, groups, most_bytes
        self._values, self._lrs = array("d"), array("d")

    def add(self, report: StepReport) -> None:
        """Take the row of a step, the one after the last."""
        if report.lrs:  # first: whoever sees a row finds its lrs
            self._lrs.extend(report.lrs)
        values = self._values
        values.append(report.lr)
        values.append(report.loss)
        if report.values:
            values.extend(report.values)
        self.last = report.step

    @property
    def too_many(self) -> bool:
        """Whether whoever adds should let the others catch up."""
        return FLOAT64 * (len(self._values) + len(self._lrs)) >= self._most_bytes

    def batch(self) -> Batch:
        """Return the first rows, at most so many as should go at once; they stay until `drop`."""
        rows = min(len(self), max(1, BATCH_BYTES // (FLOAT64 * self._width)))
        return Batch(
            self.first,
            _packed(self._values[: rows * self._width]),
            _packed(self._lrs[: rows * self._groups]),
        )

    def drop(self, batch: Batch) -> None:
        """Forget the rows of *batch*, the first ones: they are stored."""
        del self._values[: len(batch.data) // FLOAT64], self._lrs[: len(batch.lrs) // FLOAT64]
        self.first += len(batch.data) // FLOAT64 // self._width

    def __len__(self) -> int:
        return len(self._values) // self._width


def _packed(values: array[float]) -> bytes:
    """Return float64s as the store keeps them."""
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
