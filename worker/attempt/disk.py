"""Files of the storage: waited for while it is full, or fails for a moment."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from store.jobs import calls
from store.jobs.calls import Claim
from store.storage.artifacts import STORE, Storage
from store.storage.usable import FULL, described, is_fault
from worker.attempt.lease import Lease, Phase
from worker.reporting.retry import Patience

log = logging.getLogger(__name__)

T = TypeVar("T")

NOT_MOUNTED = f"the storage lacks the file {STORE!r}: it is not mounted, or another folder is"
AGAIN_S = 1.0
"""Seconds between two tries."""


class MachineFault(Exception):
    """This machine is not fit to go on with the job: the text says why. Another one may be."""


@dataclass(frozen=True)
class Disk:
    """
    Reads and writes files, as soon as that can be done.

    While the storage is full the run waits, and its history says so. While it fails otherwise (it
    is read-only, its server does not answer, a file is not there) the run waits for some seconds:
    such an error proves nothing about what lies there.

    What is not mounted is an empty folder, as good as any to write to: nothing is written to one
    without the name of its store.

    Attributes:
        storage: where the files lie.
        held: the job.
        patience: the way to the store.
        lease: on the job; is kept meanwhile.
        patience_s: seconds for which a storage that fails is waited for.
        give_up: raises where somebody wants the run to end meanwhile.
    """

    storage: Storage
    held: Claim
    patience: Patience
    lease: Lease
    patience_s: float
    give_up: Callable[[], None] = field(default=lambda: None)

    def do(self, work: Callable[[], T], *, phase: Phase = "checkpoint") -> T:
        """
        Return what *work* returns, which reads or writes files; repeat it while it cannot.

        Raises:
            MachineFault: the storage has failed for too long.
        """
        full = failing = False
        began = time.monotonic()
        while True:
            self.lease.phase(phase)
            try:
                self._require_mounted()
                done = work()
            except OSError as error:
                if error.errno in FULL:
                    if not full:
                        log.warning("%s waits: %s", self.held.job_id, error)
                        self._say("storage_full", why=str(error.strerror))
                    full = True
                elif not is_fault(error):
                    raise
                else:
                    if not failing:
                        log.warning("%s waits: %s", self.held.job_id, described(error))
                    failing = True
                    if time.monotonic() - began >= self.patience_s:
                        raise MachineFault(described(error)) from error
            else:
                if full:
                    self._say("storage_has_room")
                return done
            self.give_up()
            time.sleep(min(AGAIN_S, self.patience_s) if failing else AGAIN_S)

    def _require_mounted(self) -> None:
        if not self.storage.named:
            raise FileNotFoundError(errno.ENOENT, NOT_MOUNTED, str(self.storage.root))

    def _say(self, kind: str, **data: str) -> None:
        self.lease.phase("store")
        self.patience.send(calls.noted(self.held, kind=kind, data=data))
