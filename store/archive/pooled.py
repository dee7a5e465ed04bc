"""Archived files, read for a request: in a thread of the pool, and within a time limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from optcore.files.files import StoredFile
from store.errors import ArchiveUnreadable
from store.storage.pool import StoragePool

T = TypeVar("T")


async def read_file(
    files: StoragePool, read: Callable[..., T], file: StoredFile, **which: int
) -> T:
    """
    Return what *read*, of `store.archive.reader`, finds in a file, which may be read whole.

    Raises:
        ArchiveUnreadable: it is missing or damaged.
        StorageUnavailable: it cannot be read now.
    """
    try:
        return await files.read(file.path, file.size, read, files.storage, file, **which)
    except FileNotFoundError:
        raise ArchiveUnreadable(file.path, "is missing") from None
