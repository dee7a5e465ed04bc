"""Files in the storage that belong to nobody any more: found by looking through all folders."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import redis

from control.isolation import isolated
from store.jobs import calls
from store.redis.functions import send
from store.storage.artifacts import SWEPT, Storage

log = logging.getLogger(__name__)

PER_ROUND = 20
"""Folders looked through at a time, so that no round takes long."""
LOOK_THROUGH_S = 600.0
"""Seconds between two times that all folders are looked through."""
ORPHAN_S = 3600.0
"""
Seconds without a write after which a folder that no job owns is nobody's: a clone copies what it
begins with before its record exists.
"""


class Orphans:
    """
    Looks for files that no record points to and that nobody may be writing, and removes them.

    Args:
        client: of the store.
        storage: where the files lie.
        clock: seconds.
    """

    def __init__(
        self, client: redis.Redis, storage: Storage, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._storage, self._clock = client, storage, clock
        self._folders: Iterator[tuple[str, str]] = iter(())
        self._looked_at = -LOOK_THROUGH_S

    def look_through(self) -> None:
        """Look through a few folders; begin anew every ten minutes."""
        due = self._clock() - self._looked_at >= LOOK_THROUGH_S
        some = list(islice(self._folders, PER_ROUND))
        if not some and due:
            self._looked_at = self._clock()
            self._folders = self._storage.folders()
        for tenant, job_id in some:
            with (
                isolated(self._client, "files", f"{tenant}/{job_id}"),
                suppress(FileNotFoundError),  # it was swept meanwhile, by another API process, say
            ):
                self._tidy(tenant, job_id)

    def _tidy(self, tenant: str, job_id: str) -> None:
        attempts = self._storage.attempts(tenant, job_id)  # first: who makes one later is known
        owned = send(self._client, calls.owned(tenant, job_id))
        if owned is None:
            if self._storage.idle_s(tenant, job_id) > ORPHAN_S:
                log.info("%s/%s has files and no record: they are removed", tenant, job_id)
                self._storage.remove(tenant, job_id)
            return
        needed = [self._storage.root / path for path in owned.paths]
        self._tidy_archive(self._storage.archive_folder(tenant, job_id), needed)
        self._tidy_history(self._storage.history_folder(tenant, job_id), needed)
        for attempt in attempts:
            if attempt.name == f"{owned.attempt}-{owned.token}":
                continue  # its worker writes there
            for entry in _unneeded(attempt, needed):
                log.info("%s belongs to nobody any more: it is removed", entry)
                shutil.rmtree(entry, ignore_errors=True)

    def _tidy_archive(self, folder: Path, needed: list[Path]) -> None:
        """Remove what somebody wrote who was not the first, or died of it."""
        if not any(path.is_relative_to(folder) for path in needed):
            return  # somebody may be about to point to what lies there
        for path in folder.glob("*"):
            if path not in needed:
                _remove(path)

    def _tidy_history(self, folder: Path, needed: list[Path]) -> None:
        """Remove parts of a history that were joined with others, or that nobody points to."""
        for path in folder.glob("*"):
            if path not in needed and self._storage.age_s(path) > ORPHAN_S:
                _remove(path)


def _remove(path: Path) -> None:
    log.info("%s belongs to nobody any more: it is removed", path)
    path.unlink(missing_ok=True)


def _unneeded(attempt: Path, needed: list[Path]) -> list[Path]:
    """Return what may go of the folder of an attempt that is over: all of it, or some states."""
    if not any(path.is_relative_to(attempt) for path in needed):
        return [attempt]
    states = [entry for name in SWEPT for entry in attempt.glob(f"{name}/*")]
    return [entry for entry in states if not any(path.is_relative_to(entry) for path in needed)]
