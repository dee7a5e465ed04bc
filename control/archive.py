"""Rounds that move from the store to files: rows of ended jobs, older entries of histories."""

from __future__ import annotations

import redis

from control.isolation import PAUSE_MS, PER_ROUND, each_job
from control.storage import StorageCheck
from store.archive import histories
from store.jobs import calls
from store.storage.storage import Storage


class Archive:
    """
    Moves the rows of jobs that have ended to files; where that fails they stay in the store.

    Args:
        check: whether the storage can be used.
    """

    name = "archive"
    period_s = 1.0

    def __init__(self, check: StorageCheck) -> None:
        self._check = check

    def run(self) -> None:
        """Move the rows of some jobs."""
        call = calls.unarchived(limit=PER_ROUND, pause_ms=PAUSE_MS)
        # The call puts each job that it returns off for PAUSE_MS, so it is only sent when files can
        # be written: otherwise jobs would be put off in vain.
        with self._check.use() as usable:
            if usable:
                each_job("archive", self._check, call, _archive)


class Histories:
    """
    Moves the older entries of long histories to files; where that fails they stay in the store.

    Args:
        check: whether the storage can be used.
    """

    name = "histories"
    period_s = 1.0

    def __init__(self, check: StorageCheck) -> None:
        self._check = check

    def run(self) -> None:
        """Shorten some histories."""
        call = calls.long_histories(limit=PER_ROUND, pause_ms=PAUSE_MS)
        with self._check.use() as usable:
            if usable:
                each_job("history", self._check, call, histories.shorten)


def _archive(client: redis.Redis, storage: Storage, tenant: str, job_id: str) -> None:
    # pyarrow takes 40 MB: a process that has archived nothing yet does without.
    from store.archive.writer import archive  # noqa: PLC0415

    archive(client, storage, tenant, job_id)
