"""Checks that the storage can be used now: it is mounted, and files can be written to it."""

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
"""Errors that mean that the storage is full. It can still be read, and writers wait for space."""
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
"""Errors that mean that this process or the system cannot open more files or connections."""


class StorageAway(Exception):
    """The storage cannot be used now, for the reason in the text; no job is to blame."""


def require_usable(client: redis.Redis, storage: Storage) -> bool:
    """
    Check that the storage can be used; return whether it belongs to the data in Redis.

    The data in Redis have a name, which is also written to a file in a new storage. If that file
    contains another name, the storage belongs to other data, or Redis was emptied and its data got
    a new name. The service may write to such a storage. But it must not delete files that no record
    points to, since records in another Redis server may point to them.

    A full storage counts as usable.

    Raises:
        StorageAway: the storage is read-only, missing or not mounted, or returned another error.
    """
    ours = False
    try:
        ours = _is_ours(client, storage)
        storage.probe()
    except OSError as error:
        if error.errno in FULL:
            return ours
        raise StorageAway(
            f"the storage {storage.root} cannot be used: {described(error)}"
        ) from error
    return ours


def is_fault(error: BaseException) -> bool:
    """
    Return whether *error* is a fault of the machine, such as a failing file or mount.

    An OSError is such a fault if it has an error number, and the number does not mean a full
    storage. An OSError about the content of a file, such as a bad gzip header, has no number.
    """
    return isinstance(error, OSError) and error.errno is not None and error.errno not in FULL


def described(error: OSError) -> str:
    """Return a description of *error*: the system's message, the error's name, and the file."""
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
                f"the file {STORE!r}, which this service wrote to the storage, is missing: the "
                "storage is not mounted, or another folder is mounted in its place",
            )
        write_once(storage.root / STORE, name.encode())
        # Read again: another process may have written its name first.
        found = _read_name(storage)
    if found == name and not named:
        send(client, calls.storage_named())
    return found == name


def _read_name(storage: Storage) -> str | None:
    """Return the text of the file that names a store, or None if there is no such file."""
    try:
        return (storage.root / STORE).read_text()
    except FileNotFoundError:
        storage.root.stat()  # raises if the root itself is missing
        return None
