"""The journal of an attempt: its rows in a local file, for a store that lost some of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from store.redis.functions import CHUNK_ROWS

log = logging.getLogger(__name__)

NAME = "journal"
"""Of the file, in the folder of the attempt."""


class Journal:
    """
    Every row of an attempt that the store has, one after another.

    The store keeps what it accepts, but its disk may not: one that comes back without its last rows
    asks for them. Rows before the attempt need not be here: had the store lost these, it would have
    forgotten the claim too, and another attempt would compute them again.

    Args:
        path: of the file, which is begun anew; removed when the attempt ends.
        first: number of its first row.
        width: bytes of a row.
    """

    def __init__(self, path: Path, *, first: int, width: int) -> None:
        self._path, self._first, self._width = path, first, width
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._file = path.open("a+b", buffering=0)
        self._whole = True

    def add(self, data: bytes) -> None:
        """Append packed rows, those after the last; a full disk ends the journal, not the run."""
        if not self._whole:
            return
        try:
            self._whole = self._file.write(data) == len(data)
        except OSError as error:
            self._whole = False
            log.warning("%s is not kept any more: %s", self._path, error)

    def rows(self, first: int, end: int) -> Iterator[tuple[int, bytes]]:
        """
        Yield the packed rows from *first* to before *end*, in parts, each with its first row.

        Raises:
            ValueError: they are not all there.
        """
        if not self._whole:
            raise ValueError("the journal is not whole")
        if first < self._first:
            raise ValueError(f"first must be at least {self._first}, got {first}")
        for row in range(first, end, CHUNK_ROWS):
            count = min(CHUNK_ROWS, end - row)
            self._file.seek((row - self._first) * self._width)
            data = self._file.read(count * self._width)
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
        self._file.close()
        self._path.unlink(missing_ok=True)
