"""Files that a record points to, read only if they are what was written."""

from __future__ import annotations

import hashlib

from store.errors import ArchiveUnreadable
from store.jobs.record import Kept
from store.storage.artifacts import Storage


def read_verified(storage: Storage, kept: Kept) -> bytes:
    """
    Return the content of a file.

    Raises:
        ArchiveUnreadable: it is not what was written.
        OSError: it cannot be read, which says nothing about what it holds.
    """
    content = storage.path(kept.path).read_bytes()
    if hashlib.sha256(content).hexdigest() != kept.sha256:
        raise altered(kept)
    return content


def altered(kept: Kept) -> ArchiveUnreadable:
    """Return the error that a file is not what was written."""
    return ArchiveUnreadable(kept.path, f"is damaged: its SHA-256 is not {kept.sha256}")
