"""Encoders of rows as Parquet and Arrow. pyarrow, which they import, takes 40 MB of memory."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from store.archive.parquet import Sink, Words, Writer, batch, schema
from store.jobs.record import Record


class Parquet:
    """Encodes rows as a Parquet file."""

    def __init__(self, record: Record, columns: Sequence[str]) -> None:
        self._parts: list[bytes] = []
        self._writer = Writer(self._parts.append, Words(record.id, record.series), columns)

    def begin(self) -> bytes:
        """Return the first bytes of the file."""
        return _drain(self._parts)

    def rows(self, first: int, data: bytes) -> bytes:
        """Return the row group with the rows in *data*; *first* is the first row's number."""
        self._writer.write(first, data)
        return _drain(self._parts)

    def end(self) -> bytes:
        """Return the footer of the file."""
        self._writer.close()
        return _drain(self._parts)


class Arrow:
    """Encodes rows as an Arrow IPC stream."""

    def __init__(self, record: Record, columns: Sequence[str]) -> None:
        self._parts: list[bytes] = []
        self._series, self._schema = record.series, schema(columns)
        words = self._schema.with_metadata(Words(record.id, record.series).metadata())
        self._writer = pa.ipc.new_stream(Sink(self._parts.append), words)

    def begin(self) -> bytes:
        """Return the schema message."""
        return _drain(self._parts)

    def rows(self, first: int, data: bytes) -> bytes:
        """Return the record batch with the rows in *data*; *first* is the first row's number."""
        self._writer.write_batch(batch(self._schema, self._series, first, data))
        return _drain(self._parts)

    def end(self) -> bytes:
        """Return the end-of-stream marker."""
        self._writer.close()
        return _drain(self._parts)


def _drain(parts: list[bytes]) -> bytes:
    data = b"".join(parts)
    parts.clear()
    return data
