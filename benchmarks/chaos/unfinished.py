"""Finds files that no record names: they are being written, or a killed process has left them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import redis

from store.jobs import calls
from store.redis.functions import send
from store.storage.names import ARCHIVE, STARTING_STATE, is_needed, job_folder

Writing = Literal["archiving", "cloning"]
"""What the API does: it moves a job's rows to a file, or copies the state a clone starts from."""
ROWS, EVENTS = "-rows.parquet", "-events.jsonl"
"""
Endings of the names of files in an archive. The history is moved last, and only if it is long: the
history of a job whose checkpoints were never recorded is short.
"""
LOOK_S = 0.0005
"""Seconds between two checks: a file is without a record only for some milliseconds."""
AGED_S = 2 * 3600.0
"""Age in seconds at which every service takes a file for abandoned."""
TENANT = "local"


class Unfinished:
    """
    The files of a service that no record names.

    Args:
        storage: the root folder of the storage.
        client: the client of the Redis server, which may be killed at any moment.
    """

    def __init__(self, storage: Path, client: redis.Redis) -> None:
        self._root, self._client = storage, client
        self._jobs = storage / "jobs" / TENANT
        self._named: set[Path] = set()  # files that a record has named before
        self._complete: set[str] = set()  # jobs whose archives are complete

    def wait_for(self, kind: Writing, for_s: float, *, then: Callable[[Path], bool]) -> bool:
        """
        Wait until *then* returns True for a file; return False if it never does within *for_s*.

        Args:
            kind: what the API does when it writes the file.
            for_s: the maximum number of seconds to wait.
            then: a function that is called at once for every file that no record names.
        """
        deadline = time.monotonic() + for_s
        while time.monotonic() < deadline:
            for path in self._seen(kind):
                if then(path):
                    return True
            time.sleep(LOOK_S)
        return False

    def unarchived(self, jobs: list[str]) -> list[str]:
        """Return those of the ended *jobs* whose rows were not moved to a file."""
        return [
            job for job in jobs if not any(name.endswith(ROWS) for name in self._needed(job) or ())
        ]

    def is_unfinished(self, path: Path) -> bool:
        """Return whether a file or folder exists and no record names it."""
        name = str(path.relative_to(self._root))
        needed = self._needed(path.relative_to(self._jobs).parts[0])
        return path.exists() and needed is not None and not is_needed(name, needed)

    def left(self) -> list[Path]:
        """Return files that no record names and no attempt may write; skip jobs without a reply."""
        found = []
        for job in _names(self._jobs):
            needed = self._needed(job)
            if needed is None:
                continue
            for path in _beneath(self._jobs / job):
                name = path.relative_to(self._root)
                if path.is_file() and not any(name.is_relative_to(each) for each in needed):
                    found.append(path)
        return found

    def age(self) -> None:
        """Set the times of folders that contain such files back by hours, as if left unused."""
        before = time.time() - AGED_S
        for folder in {self._jobs / path.relative_to(self._jobs).parts[0] for path in self.left()}:
            for path in (*_beneath(folder), folder):
                with contextlib.suppress(FileNotFoundError):  # the service may remove it just now
                    os.utime(path, (before, before))

    def _seen(self, kind: Writing) -> Iterator[Path]:
        for job in _names(self._jobs):
            if kind == "cloning":
                paths = [self._jobs / job / STARTING_STATE]
            elif job in self._complete:
                continue
            else:
                paths = [self._jobs / job / ARCHIVE / name for name in self._in_archive(job)]
            for path in paths:
                if path not in self._named and path.exists():
                    if self.is_unfinished(path):
                        yield path
                    else:
                        self._named.add(path)

    def _needed(self, job: str) -> list[str] | None:
        """Return the paths that a job's record names; None if the store does not respond."""
        try:
            owned = send(self._client, calls.owned(TENANT, job))
        except redis.RedisError:
            return None
        if owned is None:
            return []
        own = f"{job_folder(TENANT, job)}/{owned.attempt}-{owned.token}"
        return [*owned.paths, own]

    def _in_archive(self, job: str) -> list[str]:
        """Return the names of the files in a job's archive; record if the archive is complete."""
        names = _names(self._jobs / job / ARCHIVE)
        if any(name.endswith(EVENTS) for name in names):
            self._complete.add(job)
        return names


def _beneath(folder: Path) -> Iterator[Path]:
    """Yield all files and folders below a folder, except those that are removed meanwhile."""
    for path, folders, files in os.walk(folder):
        yield from (Path(path, name) for name in (*folders, *files))


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # not there yet, or just removed
        return []
