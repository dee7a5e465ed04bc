"""The journal of an attempt: a local file with the attempt's rows, in case Redis loses some."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from store.redis.constants import CHUNK_ROWS

log = logging.getLogger(__name__)


class Journal:
    """
    A file with every row (the metrics of a step) of an attempt that Redis has confirmed, in order.

    If Redis loses rows that it has confirmed (for example because its disk was restored from a
    snapshot), these rows are sent again from the journal. Rows of earlier attempts are not needed:
    if Redis has lost such rows, it has also lost the claim, and the next attempt computes the rows
    again.

    Args:
        folder: a folder on a local disk. The file has no name there, so it disappears when the
            process ends, however it ends.
        first: the number of the attempt's first row.
        width: the size of a row in bytes.
    """

    def __init__(self, folder: Path, *, first: int, width: int) -> None:
        self._first, self._width = first, width
        self._file = _opened(folder)
        self._complete = self._file is not None

    def add(self, data: bytes) -> None:
        """Append the next rows, packed. After an error, which is logged, nothing more is added."""
        if self._file is None or not self._complete:
            return
        try:
            # Unbuffered, so that a full disk raises here, and `rows` finds what was added.
            # `rows` may have moved the position to rows that it read.
            self._file.seek(0, os.SEEK_END)
            self._complete = self._file.write(data) == len(data)
        except OSError as error:
            self._complete = False
            log.warning("the journal is no longer written: %s", error)

    def rows(self, first: int, end: int) -> Iterator[tuple[int, bytes]]:
        """
        Yield the rows from *first* up to but not including *end*, in chunks.

        Yields:
            the number of the chunk's first row, and its rows, packed.

        Raises:
            ValueError: the journal does not have all of these rows.
        """
        if self._file is None or not self._complete:
            raise ValueError("the journal is not complete, since it could not be written")
        if first < self._first:
            raise ValueError(f"the journal begins with row {self._first}, and lacks row {first}")
        for row in range(first, end, CHUNK_ROWS):
            count = min(CHUNK_ROWS, end - row)
            self._file.seek((row - self._first) * self._width)
            data = self._file.read(count * self._width)
            # If Redis got fewer rows than it lacks, the rest would be requested again and again.
            if len(data) != count * self._width:
                raise ValueError(f"the journal ends before row {row + count}")
            yield row, data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()


def _opened(folder: Path) -> FileIO | None:
    """Return a new file without a name; None if that fails, since a run needs no journal."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Never flushed to disk: only this attempt reads it, and a crash of the machine ends both.
        file = tempfile.TemporaryFile("w+b", buffering=0, dir=folder)  # noqa: SIM115
    except OSError as error:
        log.warning("the journal is not written: %s", error)
        return None
    return file
