"""
Files and folders that a service needs, tried before it starts.

A mount that is missing or read-only is found here, by a line that says what to do, and not by the
first job that needs it.
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
"""Seconds that a place gets to answer."""
DEFINITE = frozenset(
    {
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,  # something that is not a folder
        errno.ELOOP,
        errno.ENAMETOOLONG,
    }
)
"""Errors that last until something is changed. Others, as those of a mount that is away
(EIO, ESTALE) or of a full disk, may be over in a minute."""


class Use(StrEnum):
    """What a service must be able to do with a place."""

    WRITE = "writable"
    READ = "readable"
    READ_FILE = "a file readable"


@dataclass(frozen=True)
class Place:
    """
    A file or folder that a service needs.

    Attributes:
        what: it is, in words.
        setting: the environment variable that names it.
        path: where it is.
        use: what must be possible there.
        inside: folder in it where the same must be possible, once there is one.
    """

    what: str
    setting: str
    path: Path
    use: Use
    inside: str | None = None


class Unusable(Exception):
    """A place cannot be used until something is changed; the text is one line that says what."""


def of_api(settings: Settings) -> list[Place]:
    """Return what the API needs: clones, archives and retention write to the storage."""
    storage = Place("the storage", "OPTSERVE_STORAGE", settings.storage_dir, Use.WRITE, JOBS)
    return [storage, *_password(settings)]


def of_worker(settings: Settings) -> list[Place]:
    """Return what a worker needs."""
    return [
        *of_api(settings),
        Place("the folder of locks", "OPTSERVE_RUN", settings.run_dir, Use.WRITE),
        Place("the folder of datasets", "OPTSERVE_DATA", settings.data_dir, Use.READ),
    ]


def require(places: Sequence[Place], *, limit_s: float = LIMIT_S) -> None:
    """
    End this process, with a line and the exit code EX_CONFIG, if a place cannot be used.

    Folders that are missing are made. A place that does not answer within *limit_s* seconds, or
    fails in a way that may pass, is a warning: the service starts, and copes with it as it does
    when that happens later.
    """
    missing = asyncio.run(_unusable(places, limit_s))
    if missing:
        sys.stderr.write("; also ".join(missing) + "\n")
        sys.exit(os.EX_CONFIG)


def try_place(place: Place) -> None:
    """
    Make the folder if it is not there, and do in it what must be possible.

    Raises:
        Unusable: it cannot be used.
        OSError: it cannot be used at the moment.
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
    """Return what the system said and what to do about it."""
    kind = "file" if place.use is Use.READ_FILE else "folder"
    said, elsewhere = str(error.strerror), f"set {place.setting} to another {kind}"
    match error.errno:
        case errno.EEXIST:
            return os.strerror(errno.ENOTDIR), elsewhere
        case errno.EACCES | errno.EPERM:
            return said, f"give it to this user (chown {os.getuid()}), or {elsewhere}"
        case _ if made:
            return f"it is not there and cannot be made: {said}", f"mount it, or {elsewhere}"
        case errno.EROFS:
            return said, "mount it read-write"
        case _:
            return said, elsewhere


async def _unusable(places: Sequence[Place], limit_s: float) -> list[str]:
    """Return a line for each place that cannot be used; warn of those that may be in a while."""
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
                log.warning("%s does not answer within %g s; starting all the same", named, limit_s)
            case OSError():
                log.warning("%s cannot be used now: %s; starting all the same", named, error)
            case BaseException():
                raise error
    return missing


def _password(settings: Settings) -> list[Place]:
    file = settings.redis_password_file
    if file is None:
        return []
    return [Place("the store's password", "OPTSERVE_REDIS_PASSWORD_FILE", file, Use.READ_FILE)]
