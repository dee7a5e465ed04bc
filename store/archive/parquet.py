"""
Series of metrics as Parquet files: a column for the step, and one for each of the series.

The format is described in docs/metrics.md. Importing this imports pyarrow, tens of megabytes, so it
is imported only where such a file is read or written.
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
"""Rows of a row group: what is read to have any of them."""
FORMAT = "1"
"""Version of what the metadata says, and how."""
PREFIX = "optserve."
"""What our words in the metadata begin with."""
CACHED_GROUPS = 4
"""Row groups in the cache, unpacked: a client that reads a series reads on in the same ones."""
DAMAGE = (pa.ArrowException, zlib.error, KeyError, ValueError, EOFError)
"""What comes of reading a file that is not what was written."""

Values = NDArray[np.float64]
"""Rows of a series: one row each, one column for each of theirs."""


class Words(NamedTuple):
    """
    What a file says about its rows.

    Attributes:
        job: id of the job whose they are.
        series: what they hold.
        marks: when they were stored, as `store.jobs.series.unpack_marks` reads it.
    """

    job: str
    series: Series
    marks: bytes = b""

    def metadata(self) -> dict[str, str]:
        """Return the words of a file's metadata."""
        said = {"format": FORMAT, "job": self.job, **self.series.fields()}
        return {PREFIX + name: value for name, value in (said | _packed(self.marks)).items()}

    @classmethod
    def of(cls, metadata: Mapping[bytes, bytes]) -> Words:
        """Return what the metadata of a file says."""
        said = {name.decode().removeprefix(PREFIX): text for name, text in metadata.items()}
        fields = {name: said[name].decode() for name in ("columns", "computed")}
        return cls(said["job"].decode(), Series.of(fields), _unpacked(said.get("marks", b"")))


class Sink(io.RawIOBase):
    """A file for pyarrow to write to, whose bytes are taken as they come."""

    def __init__(self, take: Callable[[bytes], object]) -> None:
        super().__init__()
        self._take, self._at = take, 0

    def writable(self) -> bool:
        """Say so."""
        return True

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._at

    def write(self, data: Any) -> int:  # noqa: ANN401  whatever has bytes
        """Hand *data* on."""
        part = bytes(data)
        self._take(part)
        self._at += len(part)
        return len(part)


class Writer:
    """
    A Parquet file while it is written, group after group.

    Args:
        take: is given the bytes, one part after another.
        words: what the file says about its rows.
        columns: those of the series that it holds, in this order; None for all.
    """

    def __init__(
        self, take: Callable[[bytes], object], words: Words, columns: Sequence[str] | None = None
    ) -> None:
        self._series = words.series
        self._names = list(words.series.columns) if columns is None else columns
        self._schema = schema(self._names)
        encoded = dict.fromkeys(self._names, "BYTE_STREAM_SPLIT")
        self._file = pq.ParquetWriter(
            Sink(take),
            self._schema,
            compression="zstd",
            use_dictionary=False,
            column_encoding={"step": "DELTA_BINARY_PACKED", **encoded},
            write_page_checksum=True,
            store_schema=False,  # it would hold all words a second time
        )
        self._file.add_key_value_metadata(words.metadata())

    def write(self, first: int, data: bytes) -> None:
        """
        Append the packed rows *data* as one group.

        Args:
            first: number of the first of them.
            data: as `store.jobs.series.Series` packs them.
        """
        self._file.write_batch(batch(self._schema, self._series, first, data))

    def close(self) -> None:
        """Write the end, without which the file is none."""
        self._file.close()


class File:
    """
    A Parquet file that was written whole.

    Reading raises one of `DAMAGE` where a page is not what was written.

    Attributes:
        path: where it lies.
        footer: pyarrow's view of its end.
        words: what it says about its rows.
        rows: how many there are.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.footer: Any = pq.read_metadata(path)
        self.words = Words.of(self.footer.metadata or {})
        self.rows: int = self.footer.num_rows

    def data(self, first: int, count: int) -> bytes:
        """Return rows from *first* on, *count* at most, packed as the store has them."""
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
    """Return the rows of one row group, packed."""
    names = file.words.series.columns
    with pq.ParquetFile(file.path, metadata=file.footer, page_checksum_verification=True) as opened:
        found = opened.read_row_group(group, columns=list(names), use_threads=False)
    packed = np.empty((found.num_rows, len(names)), "<f8")
    for i, name in enumerate(names):
        packed[:, i] = found.column(name).to_numpy()
    return packed.tobytes()


def schema(names: Sequence[str]) -> Any:  # noqa: ANN401  pyarrow has no types
    """Return the columns of a file: the step, then those of these *names*."""
    floats = [pa.field(name, pa.float64(), nullable=False) for name in names]
    return pa.schema([pa.field("step", pa.int64(), nullable=False), *floats])


def batch(schema: Any, series: Series, first: int, data: bytes) -> Any:  # noqa: ANN401  as above
    """Return the packed rows *data*, from number *first* on, as a record batch of *schema*."""
    found = values(series, data)
    steps = np.arange(first, first + len(found), dtype=np.int64)
    columns = [
        np.ascontiguousarray(found[:, series.columns.index(name)]) for name in schema.names[1:]
    ]
    return pa.record_batch([steps, *columns], schema=schema)


def values(series: Series, data: bytes) -> Values:
    """Return packed rows as an array, bit for bit."""
    return np.frombuffer(data, "<f8").reshape(-1, series.width // FLOAT64)


def _packed(marks: bytes) -> dict[str, str]:
    """Return marks as a word: differences from one to the next, which are small, compressed."""
    if not marks:
        return {}
    pairs = np.frombuffer(marks, "<u4").reshape(-1, 2)
    steps = np.diff(pairs, axis=0, prepend=np.zeros((1, 2), "<u4"))
    return {"marks": base64.b64encode(zlib.compress(steps.astype("<u4").tobytes())).decode()}


def _unpacked(word: bytes) -> bytes:
    if not word:
        return b""
    steps = np.frombuffer(zlib.decompress(base64.b64decode(word)), "<u4").reshape(-1, 2)
    return np.cumsum(steps, axis=0, dtype="<u4").astype("<u4").tobytes()
