"""
Orphans: files that no record points to and no attempt may write to; they are deleted.

A worker that died or a clone that was rejected leaves some behind. They are found by looking
through the folders of all jobs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice

import redis

from control.isolation import isolated
from control.storage import StorageCheck
from store.jobs import calls
from store.redis.functions import send
from store.storage.names import (
    BEST,
    archive_folder,
    attempts_in,
    history_folder,
    is_needed,
    job_folder,
    jobs_in,
    unneeded_states,
)
from store.storage.storage import Storage

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
            self._folders = jobs_in(self._storage)
        for tenant, job_id in some:
            with (
                isolated(self._check, "files", f"{tenant}/{job_id}"),
                suppress(FileNotFoundError),  # another process has deleted it meanwhile
            ):
                self._tidy(tenant, job_id)

    def _tidy(self, tenant: str, job_id: str) -> None:
        # Listed before the record is read: an attempt claimed in between has no folder in the list,
        # and the record knows every earlier one.
        storage, job = self._storage, job_folder(tenant, job_id)
        attempts = attempts_in(storage, job)
        owned = send(self._client, calls.owned(tenant, job_id))
        if owned is None:
            if storage.idle_s(job) > ORPHAN_S:
                log.info("%s/%s has files and no record: they are deleted", tenant, job_id)
                storage.delete(job)
            return
        self._tidy_archive(archive_folder(tenant, job_id), owned.paths)
        self._tidy_history(history_folder(tenant, job_id), owned.paths)
        for attempt in attempts:
            if attempt == f"{job}/{owned.attempt}-{owned.token}":
                continue  # its worker writes there
            for entry in self._unneeded(attempt, owned.paths):
                self._delete(entry)

    def _tidy_archive(self, folder: str, needed: list[str]) -> None:
        """Delete what a process has left that was not the first to archive the job."""
        if not is_needed(folder, needed):
            return  # a process may be about to point the record at what lies there
        for name in self._storage.entries(folder):
            if name not in needed:
                self._delete(name)

    def _tidy_history(self, folder: str, needed: list[str]) -> None:
        """Delete parts of a history that were joined with others, or that no record points to."""
        for name in self._storage.entries(folder):
            if name not in needed and self._storage.idle_s(name) > ORPHAN_S:
                self._delete(name)

    def _unneeded(self, attempt: str, needed: list[str]) -> list[str]:
        """Return what may go of the folder of an attempt that is over: all of it, or some."""
        if not is_needed(attempt, needed):
            return [attempt]
        storage = self._storage
        # Networks of an attempt that died before its job ended, and journals of 0.2.0, which also
        # kept the network of the best state here until the end.
        files = [
            name
            for name in storage.entries(attempt)
            if storage.is_file(name) and name not in needed and not name.endswith(f"/{BEST}")
        ]
        return [*unneeded_states(storage, attempt, needed), *files]

    def _delete(self, name: str) -> None:
        log.info("%s is an orphan and is deleted", name)
        with suppress(OSError):  # it is found again
            self._storage.delete(name)
