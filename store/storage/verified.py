"""Files that a record points to, read only if they are what was written."""

from __future__ import annotations

import hashlib

from store.errors import ArchiveUnreadable
from store.jobs.pointers import StoredFile
from store.storage.artifacts import Storage


def read_verified(storage: Storage, stored: StoredFile) -> bytes:
    """
    Return the content of a file.

    Raises:
        ArchiveUnreadable: it is not what was written.
        OSError: it cannot be read, which says nothing about what it holds.
    """
    content = storage.path(stored.path).read_bytes()
    if hashlib.sha256(content).hexdigest() != stored.sha256:
        raise altered(stored)
    return content


def altered(stored: StoredFile) -> ArchiveUnreadable:
    """Return the error that a file is not what was written."""
    return ArchiveUnreadable(stored.path, f"is damaged: its SHA-256 is not {stored.sha256}")
