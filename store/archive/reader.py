"""
Reading what was moved out of the store: rows, their times, histories.

pyarrow is imported when the first such file is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from optcore.files.files import Damaged, StoredFile
from store.errors import ArchiveUnreadable
from store.storage.storage import Storage

if TYPE_CHECKING:
    from store.archive.parquet import File

CACHED_FILES = 64
"""Files of which it is remembered that they were whole."""


def rows(storage: Storage, stored: StoredFile, *, first: int, count: int) -> bytes:
    """
    Return the rows in a file from *first* on, *count* at most, packed as the store has them.

    Raises:
        ArchiveUnreadable: the file is not what was written.
        OSError: it cannot be read, which says nothing about what it holds.
    """
    with _damage_told(stored):
        return _opened(storage, stored).data(first, count)


def marks(storage: Storage, stored: StoredFile) -> bytes:
    """Return when the rows in a file were stored; raises as `rows` does."""
    return _opened(storage, stored).words.marks


def verify(storage: Storage, stored: StoredFile) -> None:
    """Return if a file is what was written; raises as `rows` does."""
    _opened(storage, stored)


def events(storage: Storage, stored: StoredFile, *, first: int, count: int) -> list[bytes]:
    """Return entries of the history in a file, as the store has them; raises as `rows` does."""
    return read_verified(storage, stored).splitlines()[first : first + count]


def read_verified(storage: Storage, stored: StoredFile) -> bytes:
    """Return the content of a file; raises as `rows` does."""
    try:
        return storage.read(stored.path, sha256=stored.sha256)
    except Damaged:
        raise _altered(stored) from None


def _opened(storage: Storage, stored: StoredFile) -> File:
    with _damage_told(stored):
        stat = os.stat(storage.local(stored.path))
        return _verified(storage, stored, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=CACHED_FILES)
def _verified(storage: Storage, stored: StoredFile, *identity: int) -> File:
    """Return a file, which was read to its end unless it is the one it was before."""
    from store.archive.parquet import File  # noqa: PLC0415

    del identity  # of what lies there: another file is another call
    if storage.describe(stored.path).sha256 != stored.sha256:
        raise _altered(stored)
    return File(storage.local(stored.path))


def _altered(stored: StoredFile) -> ArchiveUnreadable:
    return ArchiveUnreadable(stored.path, f"is damaged: its SHA-256 is not {stored.sha256}")


@contextmanager
def _damage_told(stored: StoredFile) -> Iterator[None]:
    """Raise `ArchiveUnreadable` for what comes of damage; what the system says, as it is."""
    from store.archive.parquet import DAMAGE  # noqa: PLC0415

    try:
        yield
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # pyarrow has some without
            raise
        raise ArchiveUnreadable(stored.path, f"is damaged: {error}") from error
