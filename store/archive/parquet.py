"""
Series of metrics as Parquet files: a column for the step, and one for each column of the series.

docs/metrics.md describes the format.

This module imports pyarrow, which takes tens of megabytes of memory. So other modules import this
one only when they read or write a Parquet file.
"""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from store.jobs.series import FLOAT64, Series
from store.redis.constants import CHUNK_ROWS

ROWS_PER_GROUP = 16 * CHUNK_ROWS
"""Number of rows in a row group, which is read as a whole."""
FORMAT = "1"
"""Version of the metadata's format."""
PREFIX = "optserve."
"""Prefix of this service's keys in the metadata."""
CACHED_GROUPS = 4
"""Number of decoded row groups in the cache: successive reads often need the same group."""
DAMAGE = (pa.ArrowException, zlib.error, KeyError, ValueError, EOFError)
"""Errors that reading a damaged file may raise."""

Values = NDArray[np.float64]
"""Rows of a series, as an array of shape (rows, columns)."""


class Words(NamedTuple):
    """
    The key-value metadata of a Parquet file, which describes its rows.

    Attributes:
        job: the id of the job that the rows belong to.
        series: the columns of the rows.
        marks: the times at which the rows were stored, packed as `store.jobs.series.unpack_marks`
            expects.
    """

    job: str
    series: Series
    marks: bytes = b""

    def metadata(self) -> dict[str, str]:
        """Return the key-value strings to write to the metadata of a Parquet file."""
        said = {"format": FORMAT, "job": self.job, **self.series.fields()}
        return {PREFIX + name: value for name, value in (said | _packed(self.marks)).items()}

    @classmethod
    def of(cls, metadata: Mapping[bytes, bytes]) -> Words:
        """Return the description of the rows from the key-value *metadata* of a Parquet file."""
        said = {name.decode().removeprefix(PREFIX): text for name, text in metadata.items()}
        fields = {name: said[name].decode() for name in ("columns", "computed")}
        return cls(said["job"].decode(), Series.of(fields), _unpacked(said.get("marks", b"")))


class Sink(io.RawIOBase):
    """A file object for pyarrow to write to, which passes the bytes on to the function *take*."""

    def __init__(self, take: Callable[[bytes], object]) -> None:
        super().__init__()
        self._take, self._at = take, 0

    def writable(self) -> bool:
        """Return True, so that pyarrow accepts this object as an output file."""
        return True

    def tell(self) -> int:
        """Return the number of bytes written so far."""
        return self._at

    def write(self, data: Any) -> int:  # noqa: ANN401  any object with bytes
        """Pass the bytes of *data* to the function *take*; return their number."""
        part = bytes(data)
        self._take(part)
        self._at += len(part)
        return len(part)


class Writer:
    """
    Writes a Parquet file, one row group after another.

    Args:
        take: a function that is called with each part of the file's bytes, in order.
        words: the metadata, which describes the rows.
        columns: the names of the series' columns to write, in this order; None for all columns.
    """

    def __init__(
        self, take: Callable[[bytes], object], words: Words, columns: Sequence[str] | None = None
    ) -> None:
        self._series = words.series
        self._names = list(words.series.columns) if columns is None else columns
        self._schema = schema(self._names)
        # Files were smaller than with a dictionary or with zstd alone, for lrs (cosine, steps) and
        # for losses computed in float32 and in float64 (docs/decisions/0009).
        encoded = dict.fromkeys(self._names, "BYTE_STREAM_SPLIT")
        self._file = pq.ParquetWriter(
            Sink(take),
            self._schema,
            compression="zstd",
            use_dictionary=False,
            column_encoding={"step": "DELTA_BINARY_PACKED", **encoded},
            # A reader checks the SHA-256 of a file only once, and later the pages that it reads.
            write_page_checksum=True,
            store_schema=False,  # the schema would contain all metadata a second time
        )
        self._file.add_key_value_metadata(words.metadata())

    def write(self, first: int, data: bytes) -> None:
        """
        Append rows to the file as one row group.

        Args:
            first: the number of the first row.
            data: the rows, as `store.jobs.series.Series` packs them.
        """
        self._file.write_batch(batch(self._schema, self._series, first, data))

    def close(self) -> None:
        """Write the footer, without which the file is not valid."""
        self._file.close()


class File:
    """
    Reads a Parquet file that a `Writer` has written and closed.

    If the file is damaged, reading it raises one of the errors in `DAMAGE`.

    Attributes:
        path: the path of the file.
        footer: the file's footer, as pyarrow's metadata object.
        words: the key-value metadata, which describes the rows.
        rows: the number of rows in the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.footer: Any = pq.read_metadata(path)
        self.words = Words.of(self.footer.metadata or {})
        self.rows: int = self.footer.num_rows

    def data(self, first: int, count: int) -> bytes:
        """Return at most *count* rows, from row *first* on, packed as they are in Redis."""
        stop, start, parts = min(first + count, self.rows), 0, []
        width = self.words.series.width
        for group in range(self.footer.num_row_groups):
            end = start + self.footer.row_group(group).num_rows
            if first < end and start < stop:
                packed = _group(self, group)
                parts.append(packed[max(first - start, 0) * width : (stop - start) * width])
            start = end
        return b"".join(parts)


@lru_cache(maxsize=CACHED_GROUPS)
def _group(file: File, group: int) -> bytes:
    """Return the rows of row group number *group*, packed."""
    names = file.words.series.columns
    with pq.ParquetFile(file.path, metadata=file.footer, page_checksum_verification=True) as opened:
        found = opened.read_row_group(group, columns=list(names), use_threads=False)
    packed = np.empty((found.num_rows, len(names)), "<f8")
    for i, name in enumerate(names):
        packed[:, i] = found.column(name).to_numpy()
    return packed.tobytes()


def schema(names: Sequence[str]) -> Any:  # noqa: ANN401  pyarrow has no types
    """Return the pyarrow schema of a file: a column for the step, then the columns *names*."""
    floats = [pa.field(name, pa.float64(), nullable=False) for name in names]
    return pa.schema([pa.field("step", pa.int64(), nullable=False), *floats])


def batch(schema: Any, series: Series, first: int, data: bytes) -> Any:  # noqa: ANN401  as above
    """
    Return rows as a pyarrow record batch.

    Args:
        schema: the schema of the batch, as the function `schema` returns it.
        series: the columns of the packed rows.
        first: the number of the first row.
        data: the packed rows.
    """
    found = values(series, data)
    steps = np.arange(first, first + len(found), dtype=np.int64)
    columns = [
        np.ascontiguousarray(found[:, series.columns.index(name)]) for name in schema.names[1:]
    ]
    return pa.record_batch([steps, *columns], schema=schema)


def values(series: Series, data: bytes) -> Values:
    """Return the packed rows *data* as an array, with every value unchanged bit for bit."""
    return np.frombuffer(data, "<f8").reshape(-1, series.width // FLOAT64)


def _packed(marks: bytes) -> dict[str, str]:
    """Return the metadata for *marks*: the differences between successive marks, compressed."""
    if not marks:
        return {}
    pairs = np.frombuffer(marks, "<u4").reshape(-1, 2)
    # uint32 wraps around in both directions: sums restore any marks, ascending or not.
    steps = np.diff(pairs, axis=0, prepend=np.zeros((1, 2), "<u4"))
    return {"marks": base64.b64encode(zlib.compress(steps.astype("<u4").tobytes())).decode()}


def _unpacked(word: bytes) -> bytes:
    if not word:
        return b""
    steps = np.frombuffer(zlib.decompress(base64.b64decode(word)), "<u4").reshape(-1, 2)
    return np.cumsum(steps, axis=0, dtype="<u4").astype("<u4").tobytes()
