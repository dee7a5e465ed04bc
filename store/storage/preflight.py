"""
Checks, before a service process starts, that it can use the files and folders it needs.

The checks report a missing or read-only mount with a line that says what to do. Without them, the
first job that needs the mount would fail.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from store.settings import Settings
from store.storage.names import JOBS
from store.storage.threads import Threads

log = logging.getLogger(__name__)

LIMIT_S = 5.0
"""Seconds that the check of a file or folder may take."""
DEFINITE = frozenset(
    {
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,  # the path is something other than a folder
        errno.ELOOP,
        errno.ENAMETOOLONG,
    }
)
"""Errors that persist until somebody changes something. Others, such as those from a missing mount
(EIO, ESTALE) or a full disk, may be over in a minute."""


class Use(StrEnum):
    """What a service process must be able to do with a file or folder."""

    WRITE = "writable"
    READ = "readable"
    READ_FILE = "a file readable"


@dataclass(frozen=True)
class Place:
    """
    A file or folder that a service process needs.

    Attributes:
        what: a description, for messages.
        setting: the environment variable that sets the path.
        path: the path of the file or folder.
        use: what must be possible with the file or folder.
        inside: the name of a folder in *path*. If this folder exists, it must allow the same use.
            None if no such folder is to be checked.
    """

    what: str
    setting: str
    path: Path
    use: Use
    inside: str | None = None


class Unusable(Exception):
    """A file or folder cannot be used; the text is one line that says what to change."""


def of_api(settings: Settings) -> list[Place]:
    """Return the files and folders that the API needs."""
    storage = Place("the storage", "OPTSERVE_STORAGE", settings.storage_dir, Use.WRITE, JOBS)
    return [storage, *_password(settings)]


def of_worker(settings: Settings) -> list[Place]:
    """Return the files and folders that a worker needs."""
    return [
        *of_api(settings),
        Place("the folder of locks and journals", "OPTSERVE_RUN", settings.run_dir, Use.WRITE),
        Place("the folder of datasets", "OPTSERVE_DATA", settings.data_dir, Use.READ),
    ]


def require(places: Sequence[Place], *, limit_s: float = LIMIT_S) -> None:
    """
    End this process with a message and the exit code EX_CONFIG if one of *places* is unusable.

    Missing folders are created.

    A check may take longer than *limit_s* seconds, or fail with an error that may be temporary. In
    these cases only a warning is logged and the process continues, since it can handle such errors
    later, too.
    """
    missing = asyncio.run(_unusable(places, limit_s))
    if missing:
        sys.stderr.write("; also ".join(missing) + "\n")
        sys.exit(os.EX_CONFIG)


def try_place(place: Place) -> None:
    """
    Test that the file or folder *place* allows its use; a missing folder is created.

    Raises:
        Unusable: the file or folder cannot be used until something is changed.
        OSError: the file or folder cannot be used, with an error that may be temporary.
    """
    if place.use is Use.READ_FILE:
        _try(place, place.path)
        return
    try:
        place.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _raise_if_definite(place, place.path, error, made=True)
        raise
    _try(place, place.path)
    if place.inside is not None and (inside := place.path / place.inside).is_dir():
        _try(place, inside)


def _try(place: Place, path: Path) -> None:
    try:
        match place.use:
            case Use.WRITE:
                # Tried, since permissions do not show what a file server or a mount allows.
                with tempfile.TemporaryFile(dir=path):
                    pass
            case Use.READ:
                with os.scandir(path) as entries:
                    next(entries, None)
            case Use.READ_FILE:
                path.read_bytes()
    except OSError as error:
        _raise_if_definite(place, path, error)
        raise


def _raise_if_definite(place: Place, path: Path, error: OSError, *, made: bool = False) -> None:
    if error.errno not in DEFINITE:
        return
    rule = f"{place.what} {path} ({place.setting}) must be {place.use} by this user"
    said, advice = _said(place, error, made=made)
    raise Unusable(f"{rule} (uid {os.getuid()}): {said}; {advice}") from None


def _said(place: Place, error: OSError, *, made: bool) -> tuple[str, str]:
    """Return the system's error message, and advice on how to fix the error."""
    kind = "file" if place.use is Use.READ_FILE else "folder"
    said, elsewhere = str(error.strerror), f"set {place.setting} to another {kind}"
    match error.errno:
        case errno.EEXIST:
            return os.strerror(errno.ENOTDIR), elsewhere
        case errno.EACCES | errno.EPERM:
            return said, f"give it to this user (chown {os.getuid()}), or {elsewhere}"
        case _ if made:
            return f"it does not exist and cannot be created: {said}", f"mount it, or {elsewhere}"
        case errno.EROFS:
            return said, "mount it read-write"
        case _:
            return said, elsewhere


async def _unusable(places: Sequence[Place], limit_s: float) -> list[str]:
    """Return a line for each unusable place; log a warning for errors that may be temporary."""
    # A thread for each place: a mount that hangs must not delay the checks of the others.
    threads = Threads(max(1, len(places)))
    tries = [asyncio.wait_for(threads.run(try_place, place), limit_s) for place in places]
    missing = []
    for place, error in zip(
        places, await asyncio.gather(*tries, return_exceptions=True), strict=True
    ):
        named = f"{place.what} {place.path} ({place.setting})"
        match error:
            case Unusable():
                missing.append(str(error))
            case TimeoutError():
                log.warning("%s did not respond within %g s; starting anyway", named, limit_s)
            case OSError():
                log.warning("%s cannot be used now: %s; starting anyway", named, error)
            case BaseException():
                raise error
    return missing


def _password(settings: Settings) -> list[Place]:
    file = settings.redis_password_file
    if file is None:
        return []
    return [Place("the store's password", "OPTSERVE_REDIS_PASSWORD_FILE", file, Use.READ_FILE)]
