"""Reads archived files for a request, in a thread of the pool and with a time limit."""

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
    Call *read* on an archived file, in a thread of the pool; return its result.

    Args:
        files: the pool that gives access to the storage.
        read: a function from `store.archive.reader`.
        file: the archived file. Its size determines the time limit, even if *read* returns only a
            part of the file.
        which: keyword arguments for *read*, such as *first* and *count*.

    Raises:
        ArchiveUnreadable: the file is missing or damaged.
        StorageUnavailable: the file cannot be read now.
    """
    try:
        return await files.read(file.path, file.size, read, files.storage, file, **which)
    except FileNotFoundError:
        raise ArchiveUnreadable(file.path, "is missing") from None
