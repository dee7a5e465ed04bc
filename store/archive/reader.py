"""
Reads archived data from files: rows, the times at which rows were stored, and histories.

pyarrow is imported when the first file with rows is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from optcore.files.files import StoredFile
from optcore.files.integrity import Damaged
from store.errors import ArchiveUnreadable
from store.storage.storage import Storage

if TYPE_CHECKING:
    from store.archive.parquet import File

CACHED_FILES = 64
"""Number of verified files that are cached, so that they need not be verified again."""


def rows(storage: Storage, stored: StoredFile, *, first: int, count: int) -> bytes:
    """
    Return at most *count* rows from a file, from row *first* on, packed as they are in Redis.

    Raises:
        ArchiveUnreadable: the file is damaged.
        OSError: the file is missing, or cannot be read now; its content may be intact.
    """
    with _damage_told(stored):
        return _opened(storage, stored).data(first, count)


def marks(storage: Storage, stored: StoredFile) -> bytes:
    """
    Return the times at which the rows in a file were stored, as bytes.

    `store.jobs.series.unpack_marks` unpacks the bytes. The function raises the same errors as
    `rows`.
    """
    return _opened(storage, stored).words.marks


def verify(storage: Storage, stored: StoredFile) -> None:
    """Check that a file with rows is intact; if not, raise the same errors as `rows`."""
    _opened(storage, stored)


def events(storage: Storage, stored: StoredFile, *, first: int, count: int) -> list[bytes]:
    """
    Return at most *count* history entries from a file, from index *first* on, each as JSON.

    The function raises the same errors as `rows`.
    """
    return read_verified(storage, stored).splitlines()[first : first + count]


def read_verified(storage: Storage, stored: StoredFile) -> bytes:
    """Return the content of a file after verifying its SHA-256; raise the same errors as `rows`."""
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
    """Return a file after verifying its SHA-256; an unchanged file is verified only once."""
    from store.archive.parquet import File  # noqa: PLC0415

    del identity  # part of the cache key: a replaced file is verified again
    if storage.describe(stored.path).sha256 != stored.sha256:
        raise _altered(stored)
    return File(storage.local(stored.path))


def _altered(stored: StoredFile) -> ArchiveUnreadable:
    return ArchiveUnreadable(stored.path, f"is damaged: its SHA-256 is not {stored.sha256}")


@contextmanager
def _damage_told(stored: StoredFile) -> Iterator[None]:
    """Replace errors that mean a damaged file by `ArchiveUnreadable`; pass on all other errors."""
    from store.archive.parquet import DAMAGE  # noqa: PLC0415

    try:
        yield
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # pyarrow raises some without
            raise
        raise ArchiveUnreadable(stored.path, f"is damaged: {error}") from error
