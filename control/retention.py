"""
How house is kept: what is not kept for ever goes, and so do files that belong to nobody.

Of a job that is not kept any longer the record goes first, then its files: a crash in between
leaves files without a record, which are found later, and never a record whose files are gone. What
no record points to, and no living attempt may write to, goes too: what a dead worker or a rejected
clone left behind (`control.orphans`).

The rows of a job that has ended leave the store for a file (`store.archive.archive`), and so do
the older entries of a long history (`store.archive.histories`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import redis

from control.isolation import isolated
from control.orphans import Orphans
from store.archive import histories
from store.jobs import calls
from store.redis.functions import UNAVAILABLE, send
from store.redis.server import remove_unused_libraries
from store.settings import Settings
from store.storage.artifacts import Storage
from store.storage.usable import StorageAway, require_usable

log = logging.getLogger(__name__)

PER_ROUND = 20
"""Jobs removed, moved or weighed at a time, so that no round takes long."""
INDEXED_PER_ROUND = 5
"""Calls of the server that put 500 jobs each, at most, into the sets of their labels."""
AGAIN_S = 60.0
"""Seconds after which rows or entries that could not be moved to a file are tried again."""
LIBRARIES_S = 600.0
"""Seconds between two looks for functions that no release uses any more."""
FOREIGN = (
    "%s belongs to another store (or this one was emptied): nothing in it is removed; remove the "
    "file 'store' in it if what lies there is to be judged by this one"
)
PROBE_S = 10.0
"""Seconds for which a storage that could be written to is taken to be well."""
AWAY = float("-inf")
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
        self._orphans = Orphans(client, storage, clock)
        self._usable_until, self._ours = 0.0, True
        self._libraries_at = -LIBRARIES_S

    def keep(self) -> None:
        """Do one round; what goes wrong in one step does not keep the others from being done."""
        usable = self._is_usable()
        with_files = (self.archive, self.shorten_histories, self.weigh, self.expire, self.sweep)
        for step in (
            *((self._orphans.look_through,) if usable and self._ours else ()),
            *(with_files if usable else (self.expire,)),
            self.index,
            self.forget_libraries,
        ):
            try:
                step()
            except UNAVAILABLE:
                raise
            except (redis.RedisError, OSError) as error:
                self._usable_until = 0.0
                log.warning("housekeeping: %s could not be done: %s", step.__name__, error)

    def _is_usable(self) -> bool:
        """Return whether the storage can be used now; look again after a while."""
        if self._clock() < self._usable_until:
            return True
        try:
            ours = require_usable(self._client, self._storage)
        except StorageAway as error:
            if self._usable_until != AWAY:
                log.warning("housekeeping waits: %s", error)
            self._usable_until = AWAY
            return False
        if not ours and self._ours:
            log.warning(FOREIGN, self._storage.root)
        self._ours, self._usable_until = ours, self._clock() + PROBE_S
        return True

    def archive(self) -> None:
        """Move the rows of jobs that have ended to files; where that fails they stay."""
        call = calls.unarchived(limit=PER_ROUND, pause_ms=int(1000 * AGAIN_S))
        found = send(self._client, call)
        for member in found:
            from store.archive.archive import archive  # noqa: PLC0415  40 MB, with the first one

            with isolated(self._client, "archive", member):
                archive(self._client, self._storage, *_split(member))

    def shorten_histories(self) -> None:
        """Move the older entries of long histories to files; where that fails they stay."""
        call = calls.long_histories(limit=PER_ROUND, pause_ms=int(1000 * AGAIN_S))
        found = send(self._client, call)
        for tenant, job_id in map(_split, found):
            with isolated(self._client, "history", f"{tenant}/{job_id}"):
                histories.shorten(self._client, self._storage, tenant, job_id)

    def weigh(self) -> None:
        """Find out how many bytes the files of jobs have that have ended."""
        if self._settings.keep_bytes is None:
            return
        found = send(self._client, calls.unmeasured(limit=PER_ROUND))
        for tenant, job_id in map(_split, found):
            with isolated(self._client, "size", f"{tenant}/{job_id}"):
                size = self._storage.weigh(tenant, job_id)
                send(self._client, calls.measured(tenant, job_id, size=size))

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
        call = calls.removed(limit=PER_ROUND, pause_ms=int(1000 * AGAIN_S))
        found = send(self._client, call)
        for tenant, job_id in map(_split, found):
            with isolated(self._client, "removed", f"{tenant}/{job_id}"):
                self._storage.remove(tenant, job_id)
                send(self._client, calls.files_deleted(tenant, job_id))

    def index(self) -> None:
        """Find jobs by their labels that the release before has posted, some at a time."""
        for _ in range(INDEXED_PER_ROUND):
            if not send(self._client, calls.index_labels()):
                return

    def forget_libraries(self) -> None:
        """Remove the functions of releases that nobody runs any more."""
        if self._clock() - self._libraries_at < LIBRARIES_S:
            return
        self._libraries_at = self._clock()
        for name in remove_unused_libraries(self._client):
            log.info("the functions %s are used by nobody any more: they are removed", name)


def _split(member: str) -> tuple[str, str]:
    tenant, _, job_id = member.partition("/")
    return tenant, job_id
