"""Room for files: a job whose storage is full waits, says so, and goes on when there is space."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from jobs import calls
from jobs.calls import Held
from worker.lease import Lease
from worker.patience import Patience

log = logging.getLogger(__name__)

T = TypeVar("T")

FULL = (errno.ENOSPC, errno.EDQUOT)
AGAIN_S = 1.0
"""Seconds between two tries."""


@dataclass(frozen=True)
class Room:
    """
    Writes files, as soon as there is room for them.

    Attributes:
        held: the job.
        patience: the way to the store.
        lease: on the job; is kept while there is no room.
        give_up: raises where somebody wants the run to end meanwhile.
    """

    held: Held
    patience: Patience
    lease: Lease
    give_up: Callable[[], None]

    def write(self, files: Callable[[], T]) -> T:
        """Return what *files* returns, which writes some; repeat it while the storage is full."""
        told = False
        while True:
            self.lease.phase("checkpoint")
            try:
                written = files()
            except OSError as error:
                if error.errno not in FULL:
                    raise
                if not told:
                    log.warning("%s waits: %s", self.held.job_id, error)
                    self._say("storage_full", why=str(error.strerror))
                told = True
            else:
                if told:
                    self._say("storage_has_room")
                return written
            self.give_up()
            time.sleep(AGAIN_S)

    def _say(self, kind: str, **data: str) -> None:
        self.lease.phase("store")
        self.patience.send(calls.noted(self.held, kind=kind, data=data))
