"""The lease on a job: renewed only while the run moves, so that a hung one is noticed."""

from __future__ import annotations

import faulthandler
import logging
import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Literal, Self

import redis

from store.jobs import calls
from store.jobs.calls import Claim
from store.redis.functions import Fenced, send
from store.settings import Settings
from worker.reporting.retry import GIVE_UP_AFTER_S

log = logging.getLogger(__name__)

Phase = Literal["setup", "step", "checkpoint", "store"]
"""What an attempt is at, as far as its time limits go."""

STORE_LIMIT_S = GIVE_UP_AFTER_S + 60.0
"""Limit of the phase store: a call that is retried gives up sooner, with an error of its own."""
STEP_FACTOR = 20
"""A step may also take this many times the median of the last ones."""
RENEWALS_PER_LEASE = 6
SLACK_S = 0.5
"""Seconds after the limit at which the timer ends the process, if the thread has not."""
GRACE_S = 2.0
"""Seconds an attempt gets to end by itself once its job was taken away."""
STALLED = 75
"""Exit code of a trainer whose run no longer moved."""
LEFT = 0
"""Exit code of one that gave its job back before the run was set up."""


class Lease:
    """
    Keeps the lease on a job, as long as the run moves.

    A thread renews it unless the run's rows do so. A run that does not move within the limit of its
    phase is over: the stacks of all threads go to the log and the process exits, so that the job
    can be trained elsewhere. A timer in C does the same in place of the thread, for a run that
    holds the interpreter.

    A run that is being set up has nothing to save. If it is requested to end then, or the worker is
    to leave, the thread gives the job back at once and the process exits.

    Outside any `phase` the attempt counts as waiting for the store.

    Args:
        claim: on the job.
        client: of the store.
        settings: of the service.
        leaving: set when the worker was told to leave.
        clock: seconds, never going back.

    Attributes:
        requested_action: what the store last asked for: '', pause, cancel, kill or timeout.
        interrupt: set when something is requested of the run.
    """

    def __init__(
        self,
        claim: Claim,
        client: redis.Redis,
        settings: Settings,
        leaving: threading.Event | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.requested_action = ""
        self.interrupt = threading.Event()
        self._leaving = leaving or threading.Event()
        self._claim, self._client, self._lease_s = claim, client, settings.lease_s
        self._limits_s: dict[Phase, float] = {
            "setup": settings.setup_limit_s,
            "step": settings.step_limit_s,
            "checkpoint": settings.checkpoint_limit_s,
            "store": STORE_LIMIT_S,
        }
        self._pause_s = min(1.0, self._lease_s / RENEWALS_PER_LEASE)
        self._clock = clock
        self._phase: Phase = "store"
        self._moved_at = self._beat_at = self._renewed_at = clock()
        self._beats, self._seen = 0, 0
        self._steps: deque[float] = deque(maxlen=100)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Be in *phase*, and then in the one before again; each time its limit counts anew."""
        before = self._phase
        self._enter(phase)
        try:
            yield
        finally:
            self._enter(before)

    def _enter(self, phase: Phase) -> None:
        self._phase, self._moved_at = phase, self._clock()
        self._beat_at = self._moved_at
        self._set_timer(self._limit_s())

    def beat(self, *, steps: int, renewed_at: float) -> None:
        """
        Note that the run has moved.

        Args:
            steps: by so many; 0 for part of one, which counts as one.
            renewed_at: when the last confirmed rows were sent: they renewed the lease.
        """
        # Two plain assignments, and no lock: the loop does this in every period.
        self._beats += max(1, steps)
        self._beat_at, self._renewed_at = self._clock(), renewed_at

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
            # Rows renew the lease too: a loop that sends some needs no extra calls.
            if self._clock() - self._renewed_at >= self._pause_s:
                self._renew()
            if self.requested_action or self._leaving.is_set():
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
        return self._clock() - self._moved_at

    def _renew(self) -> None:
        try:
            renewal = calls.renew(self._claim, lease_ms=int(self._lease_s * 1000))
            self.requested_action = send(self._client, renewal)
        except Fenced:
            # Either the attempt is just ending, or the job belongs to somebody else by now.
            if not self._closing.wait(GRACE_S):
                log.warning("%s: the job was taken from this worker", self._claim.job_id)
                os._exit(STALLED)
        except redis.RedisError as error:
            log.warning("%s: the lease could not be renewed: %s", self._claim.job_id, error)

    def _give_back(self) -> None:
        """Give the job back for a run that has nothing to save, and end the process."""
        why = f"{self.requested_action} requested" if self.requested_action else "the worker leaves"
        with suppress(redis.RedisError, Fenced):  # its worker, or the reaper, will
            send(self._client, calls.release(self._claim, why=f"{why} while the run was set up"))
        log.info("%s: %s while the run was set up", self._claim.job_id, why)
        os._exit(LEFT)

    def _limit_s(self) -> float:
        limit = self._limits_s[self._phase]
        # A run whose steps take minutes, all of them, is slow and not hung.
        if self._phase == "step" and self._steps:
            return max(limit, STEP_FACTOR * statistics.median(self._steps))
        return limit

    def _set_timer(self, left_s: float) -> None:
        """Let the process end a little later than this thread would end it."""
        after_s = max(left_s, self._pause_s) + SLACK_S
        faulthandler.dump_traceback_later(after_s, exit=True, file=sys.stderr)

    def _give_up(self, still: float) -> None:
        log.error("%s: no progress for %.0f s in phase %s", self._claim.job_id, still, self._phase)
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        os._exit(STALLED)
