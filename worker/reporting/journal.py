"""The journal of an attempt: its rows in a file, for a store that loses some of them."""

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
    Every row of an attempt that the store has confirmed, in order.

    A Redis server may lose its last second of writes in a crash; then it asks for the rows that it
    lacks. Rows of earlier attempts are not needed: a store that has lost those has also lost the
    claim, and the next attempt computes them again.

    Args:
        folder: on a local disk. The file has no name there, so that nothing is left of it when the
            process ends, however it ends.
        first: number of its first row.
        width: bytes of a row.
    """

    def __init__(self, folder: Path, *, first: int, width: int) -> None:
        self._first, self._width = first, width
        self._file = _opened(folder)
        self._complete = self._file is not None

    def add(self, data: bytes) -> None:
        """Append packed rows, those after the last; an error ends the journal, not the run."""
        if self._file is None or not self._complete:
            return
        try:
            # Unbuffered, so that a full disk shows here, and `rows` finds what was added.
            self._file.seek(0, os.SEEK_END)
            self._complete = self._file.write(data) == len(data)
        except OSError as error:
            self._complete = False
            log.warning("the journal is no longer written: %s", error)

    def rows(self, first: int, end: int) -> Iterator[tuple[int, bytes]]:
        """
        Yield the packed rows from *first* to before *end*, in chunks, each with its first row.

        Raises:
            ValueError: they are not all there.
        """
        if self._file is None or not self._complete:
            raise ValueError("the journal is not complete")
        if first < self._first:
            raise ValueError(f"first must be at least {self._first}, got {first}")
        for row in range(first, end, CHUNK_ROWS):
            count = min(CHUNK_ROWS, end - row)
            self._file.seek((row - self._first) * self._width)
            data = self._file.read(count * self._width)
            # Given fewer rows than it lacks, the store would ask for the rest again and again.
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
    """Return a new file without a name, or None if there can be none: a run needs no journal."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Never flushed to disk: only this attempt reads it, and a crash of the machine ends both.
        file = tempfile.TemporaryFile("w+b", buffering=0, dir=folder)  # noqa: SIM115
    except OSError as error:
        log.warning("the journal is not written: %s", error)
        return None
    return file
