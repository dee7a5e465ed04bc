"""
Reading what was moved out of the store: rows, their times, histories.

pyarrow is imported when the first such file is read.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.artifacts import Storage
from jobs.errors import ArchiveUnreadable
from jobs.record import Kept
from jobs.verified import altered, read_verified

if TYPE_CHECKING:
    from jobs.parquet import File

FILES_KEPT = 64
"""Files of which it is remembered that they were whole."""


def rows(storage: Storage, kept: Kept, *, first: int, count: int) -> bytes:
    """
    Return the rows in a file from *first* on, *count* at most, packed as the store has them.

    Raises:
        ArchiveUnreadable: the file is missing, or not what was written.
    """
    from jobs.parquet import DAMAGE  # noqa: PLC0415

    try:
        return _opened(storage, kept).data(first, count)
    except (*DAMAGE, OSError) as error:
        raise _damaged(kept, error) from error


def marks(storage: Storage, kept: Kept) -> bytes:
    """Return when the rows in a file were stored; raises as `rows` does."""
    return _opened(storage, kept).words.marks


def whole(storage: Storage, kept: Kept) -> Path:
    """Return where a file lies that was verified; raises as `rows` does."""
    return _opened(storage, kept).path


def events(storage: Storage, kept: Kept, *, first: int, count: int) -> list[bytes]:
    """Return entries of the history in a file, as the store has them; raises as `rows` does."""
    return read_verified(storage, kept).splitlines()[first : first + count]


def _opened(storage: Storage, kept: Kept) -> File:
    from jobs.parquet import DAMAGE  # noqa: PLC0415

    try:
        path = storage.path(kept.path)
        stat = path.stat()
        return _verified(path, kept, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    except (*DAMAGE, OSError) as error:
        raise _damaged(kept, error) from error


@lru_cache(maxsize=FILES_KEPT)
def _verified(path: Path, kept: Kept, *identity: int) -> File:
    """Return the file at *path*, which was read to its end unless it is the one it was before."""
    from jobs.parquet import File  # noqa: PLC0415

    del identity  # of what lies there: another file is another call
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != kept.sha256:
            raise altered(kept)
    return File(path)


def _damaged(kept: Kept, error: Exception) -> ArchiveUnreadable:
    if isinstance(error, FileNotFoundError):
        return ArchiveUnreadable(kept.path, "is missing")
    return ArchiveUnreadable(kept.path, f"is damaged: {error}")
