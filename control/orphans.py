"""
Finds and deletes orphans: files that no job's record points to and that no running attempt writes.

A worker that died, or a clone that was rejected, leaves orphans behind. They are found by listing
the folders of all jobs.
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
"""Number of job folders that one round checks, so that a round does not take long."""
SCAN_EVERY_S = 600.0
"""Seconds from the start of one scan of all folders to the start of the next."""
ORPHAN_S = 3600.0
"""
Seconds without a write after which a folder without a record counts as an orphan. A clone's folder
has no record at first: the starting state is copied before the record is created.
"""


class Orphans:
    """
    Round that deletes files that no job's record points to and that no running attempt writes.

    Args:
        client: the Redis client.
        storage: the storage that holds the files.
        check: tells whether the storage can be used, and belongs to this service.
        clock: function that returns the time in seconds, which must never go back.
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
        """Check the folders of a few jobs, if the storage is usable and belongs to this service."""
        with self._check.use() as usable:
            if usable and self._check.ours:
                self.look_through()

    def look_through(self) -> None:
        """
        Check the folders of the next few jobs.

        After the last job, a new scan begins with the first job. At least ten minutes lie between
        the starts of two scans.
        """
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
        # Listed before the record is read: an attempt that is claimed in between has no folder in
        # the list, and the record covers every earlier attempt.
        storage, job = self._storage, job_folder(tenant, job_id)
        attempts = attempts_in(storage, job)
        owned = send(self._client, calls.owned(tenant, job_id))
        if owned is None:
            if storage.idle_s(job) > ORPHAN_S:
                log.info("%s/%s has files but no record: the files are deleted", tenant, job_id)
                storage.delete(job)
            return
        self._tidy_archive(archive_folder(tenant, job_id), owned.paths)
        self._tidy_history(history_folder(tenant, job_id), owned.paths)
        for attempt in attempts:
            if attempt == f"{job}/{owned.attempt}-{owned.token}":
                continue  # this attempt is running, and its worker writes there
            for entry in self._unneeded(attempt, owned.paths):
                self._delete(entry)

    def _tidy_archive(self, folder: str, needed: list[str]) -> None:
        """
        Delete the files in *folder*, the archive of a job, that are not in *needed*.

        Delete nothing if *needed* contains no file of this folder, since another process may be
        archiving the job now.
        """
        if not is_needed(folder, needed):
            return  # a process may be about to point the record at a file in this folder
        for name in self._storage.entries(folder):
            if name not in needed:
                self._delete(name)

    def _tidy_history(self, folder: str, needed: list[str]) -> None:
        """Delete the files in *folder* that are over an hour old and not in *needed*."""
        for name in self._storage.entries(folder):
            if name not in needed and self._storage.idle_s(name) > ORPHAN_S:
                self._delete(name)

    def _unneeded(self, attempt: str, needed: list[str]) -> list[str]:
        """Return the paths to delete in *attempt*, the folder of an attempt that is over."""
        if not is_needed(attempt, needed):
            return [attempt]
        storage = self._storage
        # Networks written by an attempt that died before its job ended, and journals of 0.2.0,
        # which also kept the network of the best state here until the end.
        files = [
            name
            for name in storage.entries(attempt)
            if storage.is_file(name) and name not in needed and not name.endswith(f"/{BEST}")
        ]
        return [*unneeded_states(storage, attempt, needed), *files]

    def _delete(self, name: str) -> None:
        log.info("%s is deleted: no job's record points to it", name)
        with suppress(OSError):  # the next scan finds the file again
            self._storage.delete(name)
