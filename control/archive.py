"""Rounds that move data of jobs from Redis to files: rows, and entries of their histories."""

from __future__ import annotations

import redis

from control.isolation import PAUSE_MS, PER_ROUND, each_job
from control.storage import StorageCheck
from store.archive import histories
from store.jobs import calls
from store.storage.storage import Storage


class Archive:
    """
    Round that moves the rows and the histories of ended jobs to files.

    If the data of a job cannot be moved, it stays in Redis, and the round tries again later.

    Args:
        check: tells whether the storage can be used.
    """

    name = "archive"
    period_s = 1.0

    def __init__(self, check: StorageCheck) -> None:
        self._check = check

    def run(self) -> None:
        """Move the rows and the histories of some ended jobs."""
        call = calls.unarchived(limit=PER_ROUND, pause_ms=PAUSE_MS)
        # The call defers each job that it returns by PAUSE_MS, so it is only sent when files can be
        # written: otherwise jobs would be deferred for nothing.
        with self._check.use() as usable:
            if usable:
                each_job("archive", self._check, call, _archive)


class Histories:
    """
    Round that moves the older entries of long histories to files.

    If the entries of a job cannot be moved, they stay in Redis, and the round tries again later.

    Args:
        check: tells whether the storage can be used.
    """

    name = "histories"
    period_s = 1.0

    def __init__(self, check: StorageCheck) -> None:
        self._check = check

    def run(self) -> None:
        """Move the older entries of some long histories."""
        # As in `Archive`: sent only while files can be written.
        call = calls.long_histories(limit=PER_ROUND, pause_ms=PAUSE_MS)
        with self._check.use() as usable:
            if usable:
                each_job("history", self._check, call, histories.shorten)


def _archive(client: redis.Redis, storage: Storage, tenant: str, job_id: str) -> None:
    # pyarrow takes 40 MB, so it is only imported in a process that archives something.
    from store.archive.writer import archive  # noqa: PLC0415

    archive(client, storage, tenant, job_id)
