"""Series of metrics: rows of float64 columns, in chunks of equal length."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from store.redis.constants import CHUNK_ROWS

FLOAT64 = 8
"""Bytes of a value."""

Row = tuple[float, ...]


@dataclass(frozen=True)
class Series:
    """
    What the rows of a job hold, and how the store keeps them: little-endian float64, row by row.

    Attributes:
        columns: their names: those that are computed, then those that are only observed.
        num_computed: how many are computed: they come out the same when a step is trained again.
            What is observed (speed, memory) does not, and its last value counts.
    """

    # The server compares a prefix of each row, of 8 bytes a computed column (`first_difference` in
    # series.lua): that is why those that are only observed come last.
    columns: tuple[str, ...] = ("lr", "loss")
    num_computed: int = 2

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return FLOAT64 * len(self.columns)

    def fields(self) -> dict[str, str]:
        """Return the fields of a record that say all this."""
        return {"columns": json.dumps(self.columns), "computed": str(self.num_computed)}

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Self:
        """Return what the *fields* of a record say; older ones say nothing: lr and loss."""
        if "columns" not in fields:
            return cls()
        return cls(tuple(json.loads(fields["columns"])), int(fields["computed"]))

    def pack(self, rows: Sequence[Row]) -> bytes:
        """Return *rows* as the store keeps them, one after another."""
        return b"".join(self._row.pack(*row) for row in rows)

    def unpack(self, data: bytes) -> Iterator[Row]:
        """Return the rows in *data*; what is left of a row at its end is left out."""
        return self._row.iter_unpack(data[: len(data) - len(data) % self.width])

    def stretches(self, first: int, count: int) -> Iterator[tuple[int, int, int]]:
        """
        Yield where rows *first* to *first* + *count* lie.

        Yields:
            chunk, and the first and the last byte in it (inclusive, as GETRANGE wants them).
        """
        row = first
        while row < first + count:
            chunk, offset = divmod(row, CHUNK_ROWS)
            n = min(CHUNK_ROWS - offset, first + count - row)
            yield chunk, offset * self.width, (offset + n) * self.width - 1
            row += n

    @cached_property
    def _row(self) -> struct.Struct:
        # Of fixed byte order, and made once. cached_property writes to __dict__ past the frozen
        # class.
        return struct.Struct(f"<{len(self.columns)}d")


PLAIN = Series()
"""That of a job that asks for no further columns."""


def unpack_marks(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows and the seconds of the marks in *data*: see `store.redis.keys.MARKS`."""
    # Arrays and not tuples: a chart searches in them, and np.interp would make an array of 100,000
    # tuples at every probe.
    pairs = np.frombuffer(data, "<u4").reshape(-1, 2)
    return pairs[:, 0].astype(np.int64), pairs[:, 1] / 100
