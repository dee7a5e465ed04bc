"""
Orphans: files that no record points to and no attempt may write to; they are deleted.

A worker that died or a clone that was rejected leaves some behind. They are found by looking
through the folders of all jobs.
"""

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
from control.storage import StorageCheck
from store.jobs import calls
from store.redis.functions import send
from store.storage.artifacts import DELETABLE, Storage

log = logging.getLogger(__name__)

PER_ROUND = 20
"""Folders looked through at a time, so that no round takes long."""
SCAN_EVERY_S = 600.0
"""Seconds between two times that all folders are looked through."""
ORPHAN_S = 3600.0
"""
Seconds without a write after which a folder without a record is an orphan: a clone copies its
starting state before its record exists.
"""


class Orphans:
    """
    Deletes files that no record points to and that no attempt may be writing.

    Args:
        client: of the store.
        storage: where the files lie.
        check: whether it can be used, and whose it is.
        clock: seconds.
    """

    name = "orphans"
    period_s = 1.0

    def __init__(
        self,
        client: redis.Redis,
        storage: Storage,
        check: StorageCheck,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._storage, self._check, self._clock = client, storage, check, clock
        self._folders: Iterator[tuple[str, str]] = iter(())
        self._scanned_at = -SCAN_EVERY_S

    def run(self) -> None:
        """Look through a few folders, in a storage that is this store's."""
        with self._check.use() as usable:
            if usable and self._check.ours:
                self.look_through()

    def look_through(self) -> None:
        """Look through a few folders; begin anew every ten minutes."""
        due = self._clock() - self._scanned_at >= SCAN_EVERY_S
        some = list(islice(self._folders, PER_ROUND))
        if not some and due:
            self._scanned_at = self._clock()
            self._folders = self._storage.folders()
        for tenant, job_id in some:
            with (
                isolated(self._client, "files", f"{tenant}/{job_id}"),
                suppress(FileNotFoundError),  # another process has deleted it meanwhile
            ):
                self._tidy(tenant, job_id)

    def _tidy(self, tenant: str, job_id: str) -> None:
        # Listed before the record is read: an attempt claimed in between has no folder in the list,
        # and the record knows every earlier one.
        attempts = self._storage.attempts(tenant, job_id)
        owned = send(self._client, calls.owned(tenant, job_id))
        if owned is None:
            if self._storage.idle_s(tenant, job_id) > ORPHAN_S:
                log.info("%s/%s has files and no record: they are deleted", tenant, job_id)
                self._storage.remove(tenant, job_id)
            return
        needed = [self._storage.root / path for path in owned.paths]
        self._tidy_archive(self._storage.archive_folder(tenant, job_id), needed)
        self._tidy_history(self._storage.history_folder(tenant, job_id), needed)
        for attempt in attempts:
            if attempt.name == f"{owned.attempt}-{owned.token}":
                continue  # its worker writes there
            for entry in _unneeded(attempt, needed):
                log.info("%s is an orphan and is deleted", entry)
                shutil.rmtree(entry, ignore_errors=True)

    def _tidy_archive(self, folder: Path, needed: list[Path]) -> None:
        """Delete drafts, and files of a process that was not the first to archive the job."""
        if not any(path.is_relative_to(folder) for path in needed):
            return  # a process may be about to point the record at what lies there
        for path in folder.glob("*"):
            if path not in needed:
                _remove(path)

    def _tidy_history(self, folder: Path, needed: list[Path]) -> None:
        """Delete parts of a history that were joined with others, or that no record points to."""
        for path in folder.glob("*"):
            if path not in needed and self._storage.age_s(path) > ORPHAN_S:
                _remove(path)


def _remove(path: Path) -> None:
    log.info("%s is an orphan and is deleted", path)
    path.unlink(missing_ok=True)


def _unneeded(attempt: Path, needed: list[Path]) -> list[Path]:
    """Return what may go of the folder of an attempt that is over: all of it, or some states."""
    if not any(path.is_relative_to(attempt) for path in needed):
        return [attempt]
    states = [entry for name in DELETABLE for entry in attempt.glob(f"{name}/*")]
    return [entry for entry in states if not any(path.is_relative_to(entry) for path in needed)]
