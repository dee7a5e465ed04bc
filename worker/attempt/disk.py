"""Files of the storage: read and written again until the storage has space and works."""

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
from worker.attempt.lease import Lease, Phase
from worker.reporting.retry import RetryingSender

log = logging.getLogger(__name__)

T = TypeVar("T")

NOT_MOUNTED = f"the storage lacks the file {STORE!r}: it is not mounted, or another folder is"
RETRY_S = 1.0
"""Seconds between two tries."""


class MachineFault(Exception):
    """This machine cannot continue the job, for the reason in the text; another may."""


@dataclass(frozen=True)
class Disk:
    """
    Reads and writes files of the storage, and tries again while that fails.

    While the storage is full the run waits, and the job's history says so. While it fails in
    another way (it is read-only, its server does not answer, a file is missing) the run waits for
    *retry_for_s* only: the error says nothing about the files, and another machine may not have it.

    A storage that is not mounted looks like an empty folder that can be written to. So nothing is
    read or written while the file with the store's name is missing.

    Attributes:
        storage: where the files lie.
        claim: on the job.
        sender: of calls to the store.
        lease: on the job; it is kept meanwhile.
        retry_for_s: seconds after which a storage that fails is a `MachineFault`.
        check_requests: raises if the run is to end; called before each new try.
    """

    storage: Storage
    claim: Claim
    sender: RetryingSender
    lease: Lease
    retry_for_s: float
    check_requests: Callable[[], None] = field(default=lambda: None)

    def read(self, work: Callable[[], T]) -> T:
        """
        Return what *work* returns, which reads files while the run is set up.

        Raises:
            MachineFault: the storage has failed for too long.
        """
        return self._retried(work, "setup")

    def write_when_space(self, work: Callable[[], T], *, phase: Phase = "checkpoint") -> T:
        """
        Return what *work* returns, which writes files, once there is space for them.

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
                if error.errno in FULL:  # the storage is shared: it is full on all machines
                    if not full:
                        log.warning("%s waits: %s", self.claim.job_id, error)
                        self._note("storage_full", why=str(error.strerror))
                    full = True
                elif not is_fault(error):
                    raise
                else:
                    if not failing:
                        log.warning("%s waits: %s", self.claim.job_id, described(error))
                    failing = True
                    if time.monotonic() - began >= self.retry_for_s:
                        raise MachineFault(described(error)) from error
            else:
                if full:
                    self._note("storage_has_room")
                return done
            self.check_requests()
            # If *retry_for_s* is shorter than the pause, it ends with the next try.
            time.sleep(min(RETRY_S, self.retry_for_s) if failing else RETRY_S)

    def _note(self, kind: str, **data: str) -> None:
        with self.lease.phase("store"):
            self.sender.send(calls.noted(self.claim, kind=kind, data=data))
