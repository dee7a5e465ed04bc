"""
Files that are whole or not there: written under a temporary name, flushed, then named.

A record points to a file only once it is named and its folder is flushed (`Storage.settle`); no
name is used twice.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from store.jobs.pointers import StoredFile
from store.storage.artifacts import Storage

DRAFT = ".draft-"
"""What the names of files begin with that are not whole yet."""

Take = Callable[[bytes], object]
"""Is given the bytes of a file, one part after another."""


@contextmanager
def drafted(folder: Path) -> Iterator[Path]:
    """Give a path for a file that is gone in the end, unless it was named."""
    draft = folder / f"{DRAFT}{secrets.token_hex(8)}"
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def fill(draft: Path, write: Callable[[Take], object]) -> str:
    """Write a file and put it on disk; return its SHA-256."""
    found = hashlib.sha256()
    with draft.open("xb") as file:

        def take(part: bytes) -> None:
            file.write(part)
            found.update(part)

        write(take)
        file.flush()
        os.fsync(file.fileno())
    return found.hexdigest()


def named(storage: Storage, draft: Path, name: str, sha256: str) -> StoredFile:
    """Give a draft its name."""
    final = draft.with_name(f"{draft.name.removeprefix(DRAFT)}-{name}")
    draft.rename(final)
    return StoredFile(storage.relative(final), sha256, final.stat().st_size)
