"""Durable writes: after a crash, a path has either its old content or all of the new content."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

DRAFT = ".draft-"
"""Prefix of the names of files that are not complete yet."""
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""Error numbers that mean that the file system cannot make a hard link."""
MODE = 0o666
"""Permissions of a new file, from which the process's umask is taken away."""


def replace(path: Path, parts: Iterable[bytes], *, mode: int | None = None) -> None:
    """
    Write *parts* to *path*, replacing any file there. If that fails, the old file stays.

    Args:
        path: a path in a folder that exists.
        parts: the parts of the content, in order.
        mode: the permissions of the file, set whatever the umask is; None for ``0o666`` less the
            umask, as for any new file.
    """
    with _drafted(path, parts, mode) as draft:
        draft.replace(path)


def write_once(path: Path, content: bytes) -> None:
    """
    Write *content* to *path*, unless a file with any content exists there.

    Many processes may call this function for one path at once. An empty file is replaced, since a
    full disk can leave an empty file behind.
    """
    with _drafted(path, [content], None) as draft:
        if path.exists() and not path.read_bytes():
            draft.replace(path)
        else:
            _link(draft, path)


def sync_folder(folder: Path) -> None:
    """Wait until the entries of *folder* are on disk. On Windows, do nothing."""
    if os.name == "nt":  # where a folder cannot be opened; clients download files there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _drafted(path: Path, parts: Iterable[bytes], mode: int | None) -> Iterator[Path]:
    """
    Yield a temporary file beside *path* with the complete content, for the caller to rename.

    After the ``with`` block the folder is synced. The temporary file is deleted if it still exists.
    """
    # Random, so that two processes that write to the same path use different drafts.
    draft = path.with_name(f"{DRAFT}{path.name}-{secrets.token_hex(8)}")
    # Created with its mode: if the mode were set later, others could open the file before that.
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE if mode is None else mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            if mode is not None:
                os.fchmod(handle, mode)
            # Before the rename: a crash may otherwise leave the new name on an empty file.
            os.fsync(handle)
        yield draft
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _link(draft: Path, path: Path) -> None:
    """
    Give the file *draft* the name *path*, unless a file with this name exists.

    This is done by a hard link, since a rename would replace an existing file. On a file system
    without hard links, *draft* is renamed, and a file that another process has made in the meantime
    is replaced.
    """
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        draft.rename(path)
