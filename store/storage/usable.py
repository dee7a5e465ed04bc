"""Whether the storage can be used now: it is there, it is this store's, files can be written."""

from __future__ import annotations

import errno
import logging
import secrets

import redis

from optcore.files.durable import write_once
from store.jobs import calls
from store.redis.functions import send
from store.storage.names import STORE
from store.storage.storage import Storage

log = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What a storage without space says: it is well, and waited for."""
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
"""What the system says when no file or connection can be opened any more."""


class StorageAway(Exception):
    """The storage cannot be used now, through no fault of any job; the text says why."""


def require_usable(client: redis.Redis, storage: Storage) -> bool:
    """
    Write a file and remove it; name a storage that is new; return whether it is this store's own.

    In one that belongs to another store (or to this one before it was emptied) files can be
    written, but none may be deleted as an orphan.

    Raises:
        StorageAway: it is read-only, fails, hangs no longer than its mount does, or is not there.
    """
    ours = False
    try:
        ours = _is_ours(client, storage)
        storage.probe()
    except OSError as error:
        if error.errno in FULL:
            return ours
        raise StorageAway(f"the storage {storage.root}: {described(error)}") from error
    return ours


def is_fault(error: BaseException) -> bool:
    """
    Return whether an error is the machine's: its files, descriptors or mounts fail.

    Those of an archive format (a bad gzip header) are OSErrors too, and have no number.
    """
    return isinstance(error, OSError) and error.errno is not None and error.errno not in FULL


def described(error: OSError) -> str:
    """Return what went wrong: the words of the system, their short name, and the file."""
    name = errno.errorcode.get(error.errno or 0, "")
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{f' ({name})' if name else ''}{where}"


def _is_ours(client: redis.Redis, storage: Storage) -> bool:
    name, named = send(client, calls.store_id(secrets.token_hex(16)))
    found = _read_name(storage)
    if not found:
        if found is None and named:
            raise FileNotFoundError(
                errno.ENOENT,
                f"it lacks the file {STORE!r} that this store has put there: it is not mounted, "
                "or another folder is",
            )
        write_once(storage.root / STORE, name.encode())
        found = _read_name(storage)
    if found == name and not named:
        send(client, calls.storage_named())
    return found == name


def _read_name(storage: Storage) -> str | None:
    """Return the name of the store that the storage belongs to; '' for one never written."""
    try:
        return (storage.root / STORE).read_text()
    except FileNotFoundError:
        storage.root.stat()  # the root itself must be there
        return None
