"""Reads and writes files in the storage, retrying while the storage is full or fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from store.jobs import calls
from store.jobs.calls import Claim
from store.storage.names import STORE
from store.storage.storage import Storage
from store.storage.usable import FULL, described, is_fault
from worker.attempt.lease import Lease
from worker.attempt.time_limits import Phase
from worker.reporting.retry import RetryingSender

log = logging.getLogger(__name__)

T = TypeVar("T")

NOT_MOUNTED = (
    f"the file {STORE!r} is missing from the storage: the storage is not mounted, or another "
    "folder is mounted in its place"
)
RETRY_S = 1.0
"""Seconds between two tries to read or write."""


class MachineFault(Exception):
    """This machine cannot continue the job, but another may; the message gives the reason."""


@dataclass(frozen=True)
class Disk:
    """
    Reads and writes files in the storage, and retries while that fails.

    While the storage is full, the run waits, and an entry in the job's history says so. If the
    storage fails in another way (it is read-only, its server does not respond, a file is missing),
    the run waits for at most `retry_for_s`. Then a `MachineFault` is raised: the files may be
    intact, and another machine may be able to use them.

    A storage that is not mounted looks like an empty folder that can be written to. So nothing is
    read or written while the file with the store's name is missing.

    Attributes:
        storage: the folder that all workers and the API share.
        claim: the id of the job, and the token with which this worker claimed it.
        sender: sends calls to Redis, and retries them.
        lease: renews the lease on the job, also during retries.
        retry_for_s: seconds of errors after which a `MachineFault` is raised.
        check_requests: a function that raises if the run must stop; called before each retry.
    """

    storage: Storage
    claim: Claim
    sender: RetryingSender
    lease: Lease
    retry_for_s: float
    check_requests: Callable[[], None] = field(default=lambda: None)

    def read(self, work: Callable[[], T], *, phase: Phase = "setup") -> T:
        """
        Call *work*, which reads files; return its result.

        Raises:
            MachineFault: the storage has failed for too long.
        """
        return self._retried(work, phase)

    def write_when_space(self, work: Callable[[], T], *, phase: Phase = "checkpoint") -> T:
        """
        Call *work*, which writes files; return its result. Repeat the call while space is lacking.

        Raises:
            MachineFault: the storage has failed for too long.
        """
        return self._retried(work, phase)

    def _retried(self, work: Callable[[], T], phase: Phase) -> T:
        full = failing = False
        began = time.monotonic()
        while True:
            try:
                with self.lease.phase(phase):
                    self.storage.require_mounted(NOT_MOUNTED)
                    done = work()
            except OSError as error:
                if error.errno in FULL:  # the storage is shared, so it is full for all machines
                    if not full:
                        log.warning("%s waits for space: %s", self.claim.job_id, error)
                        self._note("storage_full", why=str(error.strerror))
                    full = True
                elif not is_fault(error):
                    raise
                else:
                    if not failing:
                        log.warning(
                            "%s waits for the storage: %s", self.claim.job_id, described(error)
                        )
                    failing = True
                    if time.monotonic() - began >= self.retry_for_s:
                        raise MachineFault(described(error)) from error
            else:
                if full:
                    self._note("storage_has_room")
                return done
            self.check_requests()
            # If *retry_for_s* is shorter than RETRY_S, the next try is the last.
            time.sleep(min(RETRY_S, self.retry_for_s) if failing else RETRY_S)

    def _note(self, kind: str, **data: str) -> None:
        with self.lease.phase("store"):
            self.sender.send(calls.noted(self.claim, kind=kind, data=data))
