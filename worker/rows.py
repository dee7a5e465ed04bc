"""Rows on their way: taken from the loop at little cost, packed in batches, kept until stored."""

from __future__ import annotations

import threading
from typing import NamedTuple

from jobs.functions import CHUNK_ROWS
from jobs.metrics import FLOAT64, Row, pack_values

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

    One thread adds, another takes. As rows are added at every step, that takes no lock and packs
    nothing: it extends a list, which no other thread can see half done.

    Args:
        first: number of the first row.
        width: columns of a row.
        groups: of parameters, whose lrs come with each row; 0 if there is only one.
        most_bytes: of packed rows and lrs, before the rows are too many.

    Attributes:
        first: number of the first row that is not stored.
        next: number of the next row.
        too_many: whether whoever adds should let the other thread catch up.
    """

    def __init__(self, *, first: int, width: int, groups: int = 0, most_bytes: int) -> None:
        self.first = self.next = first
        self.too_many = False
        self._width, self._groups = width, groups
        self._most_bytes = most_bytes
        self._values, self._lrs = list[float](), list[float]()
        self._full = max(1, CHUNK_ROWS * width // (width + groups)) * width
        self._lock = threading.Lock()
        self._packed, self._packed_lrs = bytearray(), bytearray()

    def add(self, row: Row, lrs: tuple[float, ...] = ()) -> None:
        """Take the next row."""
        self.next += 1  # in this order: whoever sees a row has counted it, and finds its lrs
        if lrs:
            self._lrs.extend(lrs)
        self._values.extend(row)
        if len(self._values) >= self._full:  # a list takes four times as much as what is packed
            self._pack()

    def batch(self) -> Batch:
        """Return the first rows, at most so many as should go at once; they stay until `drop`."""
        self._pack()
        rows = min(len(self._packed) // self._row_bytes, max(1, BATCH_BYTES // self._row_bytes))
        return Batch(
            self.first,
            bytes(self._packed[: rows * self._row_bytes]),
            bytes(self._packed_lrs[: rows * self._lrs_bytes]),
        )

    def drop(self, batch: Batch) -> None:
        """Forget the rows of *batch*, the first ones: they are stored."""
        with self._lock:
            del self._packed[: len(batch.data)], self._packed_lrs[: len(batch.lrs)]
            self.first += len(batch.data) // self._row_bytes
            self.too_many = self._num_bytes >= self._most_bytes

    def __len__(self) -> int:
        return self.next - self.first

    @property
    def _row_bytes(self) -> int:
        return FLOAT64 * self._width

    @property
    def _lrs_bytes(self) -> int:
        return FLOAT64 * self._groups

    @property
    def _num_bytes(self) -> int:
        return len(self._packed) + len(self._packed_lrs)

    def _pack(self) -> None:
        with self._lock:
            rows = len(self._values) // self._width
            values, lrs = self._values[: rows * self._width], self._lrs[: rows * self._groups]
            self._packed += pack_values(values)
            self._packed_lrs += pack_values(lrs)
            del self._values[: len(values)], self._lrs[: len(lrs)]
            self.too_many = self._num_bytes >= self._most_bytes
