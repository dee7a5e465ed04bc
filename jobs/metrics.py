"""Series of metrics: rows of float64 columns, in chunks of equal length."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from jobs.functions import CHUNK_ROWS
from jobs.record import COLUMNS

WIDTH = 8 * len(COLUMNS)
"""Bytes of a row."""
_ROW = struct.Struct(f"<{len(COLUMNS)}d")

Row = tuple[float, ...]


def pack_row(*row: float) -> bytes:
    """Return a row as the store keeps it: little-endian float64, column after column."""
    return _ROW.pack(*row)


def pack(rows: Sequence[Row]) -> bytes:
    """Return *rows* as the store keeps them, one after another."""
    return b"".join(_ROW.pack(*row) for row in rows)


def unpack(data: bytes) -> Iterator[Row]:
    """Return the rows in *data*."""
    return _ROW.iter_unpack(data)


def stretches(first: int, count: int) -> Iterator[tuple[int, int, int]]:
    """
    Yield where rows *first* to *first* + *count* lie.

    Yields:
        chunk, and the first and the last byte in it (inclusive, as GETRANGE wants them).
    """
    row = first
    while row < first + count:
        chunk, offset = divmod(row, CHUNK_ROWS)
        n = min(CHUNK_ROWS - offset, first + count - row)
        yield chunk, offset * WIDTH, (offset + n) * WIDTH - 1
        row += n
