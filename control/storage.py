"""Whether the storage can be used now: the rounds that touch files ask before they do."""

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
"""Seconds for which a storage that could be written to is taken to be well."""
FOREIGN = (
    "%s belongs to another store (or this one was emptied): nothing in it is removed; remove the "
    "file 'store' in it if what lies there is to be judged by this one"
)


class StorageCheck:
    """
    Tries the storage now and then, for all rounds of a process.

    Args:
        client: of the store.
        storage: what is tried.
        clock: seconds.

    Attributes:
        client: as given.
        storage: as given.
        ours: whether the files in it are this store's, as of the last try.
    """

    def __init__(
        self, client: redis.Redis, storage: Storage, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.client, self.storage, self._clock = client, storage, clock
        self._lock, self._usable_until, self._away = Lock(), 0.0, False
        self.ours = True

    @contextmanager
    def use(self) -> Iterator[bool]:
        """Give whether the storage can be used; after an error inside it is tried again."""
        usable = self._is_usable()
        try:
            yield usable
        except OSError:
            # What the last probe said no longer holds; the other rounds are to find out before they
            # begin.
            self._usable_until = 0.0
            raise

    def is_at_fault(self, error: Exception) -> bool:
        """
        Return whether the storage is what failed, and not the files of one job.

        The same error may come of either (EIO of a bad folder, or of a disk), so it is tried anew.
        """
        if not isinstance(error, OSError):
            return False
        # Not tried: it counts as usable when it is full, since files can still be deleted.
        if error.errno in FULL:
            return True
        with self._lock:
            return not self._try()

    def _is_usable(self) -> bool:
        # One try at a time: a storage that hangs holds one thread; the other rounds wait for it.
        with self._lock:
            return self._clock() < self._usable_until or self._try()

    def _try(self) -> bool:
        try:
            ours = require_usable(self.client, self.storage)
        except StorageAway as error:
            # Once for each outage: this is tried again every second.
            if not self._away:
                log.warning("archive and retention wait: %s", error)
            self._away, self._usable_until = True, 0.0
            return False
        if not ours and self.ours:
            log.warning(FOREIGN, self.storage.root)
        self.ours, self._away = ours, False
        self._usable_until = self._clock() + PROBE_S
        return True
