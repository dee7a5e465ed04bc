"""
Keeping house: jobs that ended long ago go, and so do files that belong to nobody.

A job goes in two steps: all that the store has of it at once, then its files. Whatever dies between
leaves a job that nobody sees any more and a folder that the store remembers to be swept: the next
round goes on there. The other way round a job would be listed whose files are gone.

The rows of a job that has ended leave the store for a file (`jobs.archive`).
"""

from __future__ import annotations

import errno
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import redis

from jobs import calls
from jobs.artifacts import SWEPT, Storage
from jobs.functions import send
from jobs.settings import Settings

log = logging.getLogger(__name__)

PER_ROUND = 20
"""Jobs removed, weighed or looked through at a time, so that no round takes long."""
LOOK_THROUGH_S = 600.0
"""Seconds between two times that all folders are looked through."""
ORPHAN_S = 3600.0
"""
Seconds without a write after which a folder that no job owns is nobody's: a clone copies what it
begins with before its record exists.
"""
ARCHIVE_AGAIN_S = 60.0
"""Seconds after which rows that could not be moved to a file are tried again."""
FULL = (errno.ENOSPC, errno.EDQUOT)
"""What a storage without room says."""
DAY_MS = 24 * 3600 * 1000


class House:
    """
    What is done a little of in every round of the reaper.

    Several processes may do so at once: each step may be done twice.

    Args:
        client: of the store.
        storage: where the files lie.
        settings: how much is kept.
        clock: seconds.
    """

    def __init__(
        self,
        client: redis.Redis,
        storage: Storage,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._storage, self._settings, self._clock = client, storage, settings, clock
        self._folders: Iterator[tuple[str, str]] = iter(())
        self._looked_at = -LOOK_THROUGH_S

    def keep(self) -> None:
        """Do one round."""
        self.look_through()  # first: a new storage becomes this store's
        self.archive()
        self.weigh()
        self.expire()
        self.sweep()

    def archive(self) -> None:
        """Move the rows of jobs that have ended to files; where that fails they stay."""
        call = calls.unarchived(limit=PER_ROUND, pause_ms=int(1000 * ARCHIVE_AGAIN_S))
        found = send(self._client, call)
        for tenant, job_id in map(_split, found):
            from jobs.archive import Differs, archive  # noqa: PLC0415  40 MB, with the first one

            try:
                archive(self._client, self._storage, tenant, job_id)
            except OSError as error:
                log.warning(
                    "the rows of %s/%s stay in the store for now: %s", tenant, job_id, error
                )
                if error.errno in FULL or not self._storage.named:
                    return  # full, or away: so it is for the next ones
            except Differs:
                log.exception("the rows of %s/%s cannot be moved", tenant, job_id)

    def weigh(self) -> None:
        """Find out how many bytes the files of jobs have that have ended."""
        if self._settings.keep_bytes is None:
            return
        found = send(self._client, calls.unweighed(limit=PER_ROUND))
        for tenant, job_id in map(_split, found):
            size = self._storage.weigh(tenant, job_id)
            send(self._client, calls.weighed(tenant, job_id, size=size))

    def expire(self) -> None:
        """Remove the records of jobs that are not kept any longer."""
        days, settings = self._settings.keep_days, self._settings
        call = calls.expire(
            limit=PER_ROUND,
            max_age_ms=None if days is None else int(DAY_MS * days),
            max_jobs=settings.keep_jobs,
            max_bytes=settings.keep_bytes,
        )
        for member in send(self._client, call):
            log.info("%s ended long ago and is not kept any longer", member)

    def sweep(self) -> None:
        """Remove the files of jobs whose records are gone."""
        found = send(self._client, calls.removed(limit=PER_ROUND))
        for tenant, job_id in map(_split, found):
            if self._storage.remove(tenant, job_id):
                send(self._client, calls.swept(tenant, job_id))
            else:
                log.warning("the files of %s/%s could not be removed", tenant, job_id)

    def look_through(self) -> None:
        """Remove files that belong to nobody, a few folders at a time."""
        due = self._clock() - self._looked_at >= LOOK_THROUGH_S
        some = list(islice(self._folders, PER_ROUND))
        if not some and due and self._storage.root.is_dir():
            self._looked_at = self._clock()
            if self._is_ours():
                self._folders = self._storage.folders()
        for tenant, job_id in some:
            self._tidy(tenant, job_id)

    def _is_ours(self) -> bool:
        """Tell whether the store has written what lies here: another one's jobs would look lost."""
        name = send(self._client, calls.store_id(secrets.token_hex(16)))
        if self._storage.belongs_to(name):
            return True
        log.warning(
            "%s belongs to another store (or this one was emptied): nothing in it is removed; "
            "remove the file %r in it if what lies there is to be judged by this one",
            self._storage.root,
            "store",
        )
        return False

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
                log.info("%s belongs to nobody any more: it is removed", path)
                path.unlink(missing_ok=True)


def _unneeded(attempt: Path, needed: list[Path]) -> list[Path]:
    """Return what may go of the folder of an attempt that is over: all of it, or some states."""
    if not any(path.is_relative_to(attempt) for path in needed):
        return [attempt]
    states = [entry for name in SWEPT for entry in attempt.glob(f"{name}/*")]
    return [entry for entry in states if not any(path.is_relative_to(entry) for path in needed)]


def _split(member: str) -> tuple[str, str]:
    tenant, _, job_id = member.partition("/")
    return tenant, job_id
