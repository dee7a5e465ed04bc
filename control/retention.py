"""
Retention: jobs that ended long ago are removed, as the settings say, and then their files.

The record goes first, then its files: a crash in between leaves files without a record, which are
found later, and never a record whose files are gone.
"""

from __future__ import annotations

import logging

import redis

from control.isolation import PAUSE_MS, PER_ROUND, each_job, isolated
from control.storage import StorageCheck
from store.jobs import calls
from store.redis.functions import send
from store.settings import Settings
from store.storage.names import job_folder
from store.storage.storage import Storage

log = logging.getLogger(__name__)

DAY_MS = 24 * 3600 * 1000


class Retention:
    """
    Removes the jobs that are kept no longer, and their files.

    Args:
        client: of the store.
        storage: where the files lie.
        check: whether it can be used.
        settings: how much is kept.
    """

    name = "retention"
    period_s = 1.0

    def __init__(
        self, client: redis.Redis, storage: Storage, check: StorageCheck, settings: Settings
    ) -> None:
        self._client, self._storage, self._check = client, storage, check
        self._settings = settings

    def run(self) -> None:
        """See to some jobs: while the storage is away, only records are removed."""
        with self._check.use() as usable:
            # First, since a limit of bytes only counts jobs that were measured.
            if usable:
                self.measure()
            # Needs no files: until the storage is back, the store remembers which folders are to
            # go.
            self.expire()
            if usable:
                self.delete_files()

    def measure(self) -> None:
        """Find out how many bytes the files of ended jobs have, if that is limited."""
        if self._settings.keep_bytes is None:
            return
        for member in send(self._client, calls.unmeasured(limit=PER_ROUND)):
            tenant, _, job_id = member.partition("/")
            with isolated(self._check, "size", member):
                size = self._storage.measure(job_folder(tenant, job_id))
                send(self._client, calls.measured(tenant, job_id, size=size))

    def expire(self) -> None:
        """Remove the records of jobs that are kept no longer."""
        days, settings = self._settings.keep_days, self._settings
        call = calls.expire(
            limit=PER_ROUND,
            max_age_ms=None if days is None else int(DAY_MS * days),
            max_jobs=settings.keep_jobs,
            max_bytes=settings.keep_bytes,
        )
        for member in send(self._client, call):
            log.info("%s ended long ago and was removed", member)

    def delete_files(self) -> None:
        """Delete the files of jobs whose records are gone."""
        call = calls.removed(limit=PER_ROUND, pause_ms=PAUSE_MS)
        each_job("removed", self._check, call, _delete)


def _delete(client: redis.Redis, storage: Storage, tenant: str, job_id: str) -> None:
    # A crash between these two repeats the first, which then finds nothing. In the other order the
    # folder would stay until the search for orphans finds it.
    storage.delete(job_folder(tenant, job_id))
    send(client, calls.files_deleted(tenant, job_id))
