"""The check that rounds make before they access files: whether the storage can be used now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

import redis

from store.storage.storage import Storage
from store.storage.usable import FULL, StorageAway, require_usable

log = logging.getLogger(__name__)

PROBE_S = 10.0
"""Seconds for which the storage is not checked again after a successful check."""
FOREIGN = (
    "the storage %s belongs to another store, or Redis was emptied: files that no record points to "
    "are not deleted. If the storage does belong to this service, delete the file 'store' in it"
)


class StorageCheck:
    """
    Checks whether the storage can be used, for all rounds of a process.

    The result of a successful check is reused for `PROBE_S` seconds.

    Args:
        client: the Redis client.
        storage: the storage to check.
        clock: function that returns the time in seconds, which must never go back.

    Attributes:
        client: the Redis client.
        storage: the storage that is checked.
        ours: whether the storage belonged to this service at the latest check.
    """

    def __init__(
        self, client: redis.Redis, storage: Storage, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.client, self.storage, self._clock = client, storage, clock
        self._lock, self._usable_until, self._away = Lock(), 0.0, False
        self.ours = True

    @contextmanager
    def use(self) -> Iterator[bool]:
        """
        Yield whether the storage can be used.

        If the block of the ``with`` statement raises an OSError, the storage is checked again
        before its next use.
        """
        usable = self._is_usable()
        try:
            yield usable
        except OSError:
            # The result of the last check no longer holds; other rounds must check before they
            # start.
            self._usable_until = 0.0
            raise

    def is_at_fault(self, error: Exception) -> bool:
        """
        Return whether the whole storage caused *error*, and not only the files of one job.

        Files of one job can cause the same error as the whole storage (EIO, for example), so the
        storage is checked again.
        """
        if not isinstance(error, OSError):
            return False
        # Not checked again: a full storage counts as usable, since files can still be deleted.
        if error.errno in FULL:
            return True
        with self._lock:
            return not self._try()

    def _is_usable(self) -> bool:
        # One check at a time: if the storage hangs, the other rounds wait for this lock.
        with self._lock:
            return self._clock() < self._usable_until or self._try()

    def _try(self) -> bool:
        try:
            ours = require_usable(self.client, self.storage)
        except StorageAway as error:
            # Logged once for each outage: the check is repeated every second.
            if not self._away:
                log.warning("archiving and retention are paused: %s", error)
            self._away, self._usable_until = True, 0.0
            return False
        if not ours and self.ours:
            log.warning(FOREIGN, self.storage.root)
        self.ours, self._away = ours, False
        self._usable_until = self._clock() + PROBE_S
        return True
