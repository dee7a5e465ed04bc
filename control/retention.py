"""
Removes the oldest ended jobs, with their files, while a limit in the settings is exceeded.

A job's record is removed first, then its files. So there is never a record without its files. A
crash between the two steps leaves files without a record, which are deleted later.
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
    Round that removes the oldest ended jobs, with their files, while a limit is exceeded.

    Args:
        client: the Redis client.
        storage: the storage that holds the files.
        check: tells whether the storage can be used.
        settings: the settings with the limits: `keep_days`, `keep_jobs` and `keep_bytes`.
    """

    name = "retention"
    period_s = 1.0

    def __init__(
        self, client: redis.Redis, storage: Storage, check: StorageCheck, settings: Settings
    ) -> None:
        self._client, self._storage, self._check = client, storage, check
        self._settings = settings

    def run(self) -> None:
        """
        Measure the files of some jobs, remove some records, and delete the files of removed jobs.

        While the storage cannot be used, only records are removed.
        """
        with self._check.use() as usable:
            # First, since the limit on bytes only counts jobs that were measured.
            if usable:
                self.measure()
            # Needs no files: Redis remembers which folders are to be deleted once the storage is
            # back.
            self.expire()
            if usable:
                self.delete_files()

    def measure(self) -> None:
        """Measure the files of some ended jobs, if `keep_bytes` is set."""
        if self._settings.keep_bytes is None:
            return
        for member in send(self._client, calls.unmeasured(limit=PER_ROUND)):
            tenant, _, job_id = member.partition("/")
            with isolated(self._check, "size", member):
                size = self._storage.measure(job_folder(tenant, job_id))
                send(self._client, calls.measured(tenant, job_id, size=size))

    def expire(self) -> None:
        """Remove the records of some ended jobs, the oldest first, while a limit is exceeded."""
        days, settings = self._settings.keep_days, self._settings
        call = calls.expire(
            limit=PER_ROUND,
            max_age_ms=None if days is None else int(DAY_MS * days),
            max_jobs=settings.keep_jobs,
            max_bytes=settings.keep_bytes,
        )
        for member in send(self._client, call):
            log.info("%s was removed: it exceeded keep_days, keep_jobs or keep_bytes", member)

    def delete_files(self) -> None:
        """Delete the files of some jobs whose records were removed."""
        call = calls.removed(limit=PER_ROUND, pause_ms=PAUSE_MS)
        each_job("removed", self._check, call, _delete)


def _delete(client: redis.Redis, storage: Storage, tenant: str, job_id: str) -> None:
    # After a crash between these two calls, the first is repeated and finds nothing. In the other
    # order, the folder would stay until a scan for orphans finds it.
    storage.delete(job_folder(tenant, job_id))
    send(client, calls.files_deleted(tenant, job_id))
