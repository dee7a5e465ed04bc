"""The lease on a job: kept only while the run moves, so that a hung one is noticed."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import statistics
import sys
import threading
import time
from collections import deque
from types import TracebackType
from typing import Literal, Self

import redis

from store.jobs import calls
from store.jobs.calls import Claim
from store.redis.functions import Fenced, send
from store.settings import Settings
from worker.reporting.retry import PATIENCE_S

log = logging.getLogger(__name__)

Phase = Literal["setup", "step", "checkpoint", "store"]

STORE_LIMIT_S = PATIENCE_S + 60.0
"""Seconds a run may wait for the store: whoever waits for it gives up first."""
STEP_FACTOR = 20
"""A step may also last this many times the median of the last ones."""
RENEWALS_PER_LEASE = 6
SLACK_S = 0.5
"""Seconds after which the timer does what this thread should have done."""
GRACE_S = 2.0
"""Seconds a run may take to notice that its job was taken from it."""
STALLED = 75
"""Exit code of a trainer whose run no longer moved."""
LEFT = 0
"""Exit code of one that gave its job back before the run was set up."""


class Lease:
    """
    Renews the lease from a thread for as long as the run moves, unless its rows do so.

    A run that does not move within its phase's limit is over: the stacks of all threads go to
    the log, and the process exits, so that the job can be trained elsewhere. Should it not
    let this thread run either (it sleeps in C and holds the interpreter), a timer does the same.

    What is asked of a run that is not set up yet needs nothing to be saved: the job is given back
    here and now, and the process exits.

    Args:
        held: the job.
        client: of the store.
        settings: of the service.
        leaving: set when the worker was told to leave.

    Attributes:
        request: what the client asks for, as the store last said: '', pause, cancel or kill.
        interrupt: set when something is asked of the run.
    """

    def __init__(
        self,
        held: Claim,
        client: redis.Redis,
        settings: Settings,
        leaving: threading.Event | None = None,
    ) -> None:
        self.request = ""
        self.interrupt = threading.Event()
        self._leaving = leaving or threading.Event()
        self._held, self._client, self._lease_s = held, client, settings.lease_s
        self._limits_s: dict[Phase, float] = {
            "setup": settings.setup_limit_s,
            "step": settings.step_limit_s,
            "checkpoint": settings.checkpoint_limit_s,
            "store": STORE_LIMIT_S,
        }
        self._pause_s = min(1.0, self._lease_s / RENEWALS_PER_LEASE)
        self._phase: Phase = "setup"
        self._moved_at = self._beat_at = self._renewed_at = time.monotonic()
        self._beats, self._seen = 0, 0
        self._steps: deque[float] = deque(maxlen=100)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def phase(self, phase: Phase) -> None:
        """Enter *phase*: its limit counts from now."""
        self._phase, self._moved_at = phase, time.monotonic()
        self._beat_at = self._moved_at
        self._set_timer(self._limit_s())

    def beat(self, *, steps: int, renewed_at: float) -> None:
        """
        Say that the run has moved.

        Args:
            steps: by so many; 0 for part of one, which counts as one.
            renewed_at: when the store was last sent rows that it took, which renewed the lease.
        """
        self._beats += max(1, steps)
        self._beat_at, self._renewed_at = time.monotonic(), renewed_at

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def _keep(self) -> None:
        while not self._closing.wait(self._pause_s):
            still = self._still_s()
            left = self._limit_s() - still
            if left < 0:
                self._give_up(still)
            self._set_timer(left)
            if time.monotonic() - self._renewed_at >= self._pause_s:
                self._renew()
            if self.request or self._leaving.is_set():
                self.interrupt.set()
                if self._phase == "setup":
                    self._give_back()

    def _still_s(self) -> float:
        """Return for how many seconds the run has not moved; learn how long its steps take."""
        beats, beat_at = self._beats, self._beat_at
        if beats > self._seen:
            if beat_at > self._moved_at:  # else a phase began since
                self._steps.append((beat_at - self._moved_at) / (beats - self._seen))
                self._moved_at = beat_at
            self._seen = beats
        return time.monotonic() - self._moved_at

    def _renew(self) -> None:
        try:
            renewal = calls.renew(self._held, lease_ms=int(self._lease_s * 1000))
            self.request = send(self._client, renewal)
        except Fenced:
            # Either the attempt is just ending, or the job belongs to somebody else by now.
            if not self._closing.wait(GRACE_S):
                log.warning("%s: the job was taken from this worker", self._held.job_id)
                os._exit(STALLED)
        except redis.RedisError as error:
            log.warning("%s: the lease could not be renewed: %s", self._held.job_id, error)

    def _give_back(self) -> None:
        """Give the job back for a run that has nothing to save, and end the process."""
        why = f"{self.request} requested" if self.request else "the worker leaves"
        with contextlib.suppress(redis.RedisError, Fenced):  # its worker, or the reaper, will
            send(self._client, calls.release(self._held, why=f"{why} while the run was set up"))
        log.info("%s: %s while the run was set up", self._held.job_id, why)
        os._exit(LEFT)

    def _limit_s(self) -> float:
        limit = self._limits_s[self._phase]
        if self._phase == "step" and self._steps:
            return max(limit, STEP_FACTOR * statistics.median(self._steps))
        return limit

    def _set_timer(self, left_s: float) -> None:
        """Let the process end a little later than this thread would end it."""
        after_s = max(left_s, self._pause_s) + SLACK_S
        faulthandler.dump_traceback_later(after_s, exit=True, file=sys.stderr)

    def _give_up(self, still: float) -> None:
        log.error("%s: no progress for %.0f s in phase %s", self._held.job_id, still, self._phase)
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        os._exit(STALLED)
