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
"""Size of a float64 value in bytes."""

Row = tuple[float, ...]


@dataclass(frozen=True)
class Series:
    """
    The columns of a job's rows. Rows are stored as little-endian float64, one after another.

    Attributes:
        columns: the names of the columns: first those that are computed, then those that are only
            observed.
        num_computed: the number of computed columns. When a step is trained again, the values of
            computed columns are the same. The values of observed columns (speed, memory) may
            differ, and the last value counts.
    """

    # The server compares a prefix of each row, 8 bytes per computed column (`first_difference` in
    # series.lua): that is why the columns that are only observed come last.
    columns: tuple[str, ...] = ("lr", "loss")
    num_computed: int = 2

    @property
    def width(self) -> int:
        """Size of a row in bytes."""
        return FLOAT64 * len(self.columns)

    def fields(self) -> dict[str, str]:
        """Return the fields of a record that describe the columns."""
        return {"columns": json.dumps(self.columns), "computed": str(self.num_computed)}

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Self:
        """
        Return the series that the *fields* of a record describe.

        If they describe no columns, the columns are lr and loss.
        """
        if "columns" not in fields:
            return cls()
        return cls(tuple(json.loads(fields["columns"])), int(fields["computed"]))

    def pack(self, rows: Sequence[Row]) -> bytes:
        """Return *rows* as bytes, in the format in which they are stored."""
        return b"".join(self._row.pack(*row) for row in rows)

    def unpack(self, data: bytes) -> Iterator[Row]:
        """Return the rows in *data*, without an incomplete row at the end."""
        return self._row.iter_unpack(data[: len(data) - len(data) % self.width])

    def stretches(self, first: int, count: int) -> Iterator[tuple[int, int, int]]:
        """
        Yield the byte ranges that hold *count* rows from row *first* on.

        Yields:
            the number of a chunk, and the first and the last byte within it (inclusive, as GETRANGE
            expects them).
        """
        row = first
        while row < first + count:
            chunk, offset = divmod(row, CHUNK_ROWS)
            n = min(CHUNK_ROWS - offset, first + count - row)
            yield chunk, offset * self.width, (offset + n) * self.width - 1
            row += n

    @cached_property
    def _row(self) -> struct.Struct:
        # The byte order is fixed. cached_property writes to __dict__, which a frozen class allows.
        return struct.Struct(f"<{len(self.columns)}d")


PLAIN = Series()
"""The series of a job that has no columns besides lr and loss."""


def unpack_marks(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """
    Return the marks in *data*, which tell when rows were stored, as two arrays.

    The first array has numbers of rows. The second has, for each of these numbers, the seconds of
    training after which the job had that many rows. *data* is the string that Redis holds in the
    key `store.redis.keys.MARKS` of a job.
    """
    # Arrays and not tuples: a chart searches in them, and np.interp would make an array of 100,000
    # tuples for every search.
    pairs = np.frombuffer(data, "<u4").reshape(-1, 2)
    return pairs[:, 0].astype(np.int64), pairs[:, 1] / 100
