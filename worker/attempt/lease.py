"""The lease on a job. It is renewed only while the run makes progress, so a hung run is noticed."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

import redis

from store.jobs import calls
from store.jobs.calls import Claim
from store.redis.functions import Fenced, send
from store.settings import Settings
from worker.attempt.time_limits import Phase, TimeLimits

log = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 6
SLACK_S = 0.5
"""Seconds after the time limit at which the timer ends the process, if the thread did not."""
GRACE_S = 2.0
"""Seconds that an attempt gets to end by itself once its job was taken away."""
STALLED = 75
"""Exit code of a trainer whose run made no progress, or whose job was taken away."""
LEFT = 0
"""Exit code of a trainer that released its job before the run was set up."""


class Lease:
    """
    Renews the lease on a job as long as the run makes progress.

    Each write of rows renews the lease. While no rows are written, a thread renews it.

    An attempt is always in one of several phases, such as setup or step, each with a time limit. If
    the run makes no progress within this limit, the thread logs the stacks of all threads and ends
    the process. Another worker can then train the job. If the run blocks the Python interpreter,
    and so this thread too, a timer in C does the same.

    A run that is being set up has nothing to save. If an action is requested during the setup, or
    the worker is stopping, the thread releases the job at once and ends the process.

    Outside a `phase` block, the attempt is in the phase ``store``: it waits for Redis.

    Args:
        claim: the id of the job, and the token with which this worker claimed it.
        client: the Redis client.
        settings: the settings of the service.
        leaving: an event that is set when the worker should stop.
        clock: a function that returns the time in seconds, which must never go back.

    Attributes:
        requested_action: the action that the last reply from Redis requests: pause, cancel, kill or
            timeout, or '' for none.
        interrupt: an event that is set when an action is requested, or the worker should stop.
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
        self._limits = TimeLimits(settings)
        self._pause_s = min(1.0, self._lease_s / RENEWALS_PER_LEASE)
        self._clock = clock
        self._phase: Phase = "store"
        self._moved_at = self._beat_at = self._renewed_at = clock()
        self._beats, self._seen = 0, 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """
        Set the attempt's phase to *phase* for a ``with`` block, then restore the previous phase.

        The time limit of a phase starts anew each time the phase is entered.
        """
        before = self._phase
        self._enter(phase)
        try:
            yield
        finally:
            self._enter(before)

    def _enter(self, phase: Phase) -> None:
        self._phase, self._moved_at = phase, self._clock()
        self._beat_at = self._moved_at
        self._set_timer(self._limits.of(self._phase))

    def beat(self, *, steps: int, renewed_at: float) -> None:
        """
        Record that the run has made progress.

        Args:
            steps: the number of steps made since the last call; 0 (only a part of a step was made)
                counts as 1.
            renewed_at: the time when the latest rows that Redis has confirmed were sent. Redis
                renewed the lease when it stored these rows.
        """
        # Plain assignments without a lock, since the loop does this in every period.
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
        # After the join, since the thread would set the timer again.
        faulthandler.cancel_dump_traceback_later()

    def _keep(self) -> None:
        while not self._closing.wait(self._pause_s):
            still = self._still_s()
            left = self._limits.of(self._phase) - still
            if left < 0:
                self._give_up(still)
            self._set_timer(left)
            # Writes of rows renew the lease too: while the loop sends rows, no extra calls are
            # needed.
            if self._clock() - self._renewed_at >= self._pause_s:
                self._renew()
            if self.requested_action or self._leaving.is_set():
                self.interrupt.set()
                if self._phase == "setup":
                    self._give_back()

    def _still_s(self) -> float:
        """Return the seconds since the last progress; record how long the steps before it took."""
        beats, beat_at = self._beats, self._beat_at
        if beats > self._seen:
            if beat_at > self._moved_at:  # otherwise a phase was entered since
                self._limits.add_step((beat_at - self._moved_at) / (beats - self._seen))
                self._moved_at = beat_at
            self._seen = beats
        return self._clock() - self._moved_at

    def _renew(self) -> None:
        try:
            renewal = calls.renew(self._claim, lease_ms=int(self._lease_s * 1000))
            self.requested_action = send(self._client, renewal)
        except Fenced:
            # Either the attempt is just ending, or the job was taken from this worker.
            if not self._closing.wait(GRACE_S):
                log.warning("%s: the job was taken from this worker", self._claim.job_id)
                os._exit(STALLED)
        except redis.RedisError as error:
            log.warning("%s: the lease could not be renewed: %s", self._claim.job_id, error)

    def _give_back(self) -> None:
        """Release the job of a run that has nothing to save, and end the process."""
        why = (
            f"{self.requested_action} requested"
            if self.requested_action
            else "the worker is stopping"
        )
        with suppress(redis.RedisError, Fenced):  # the worker or the reaper will release the job
            send(self._client, calls.release(self._claim, why=f"{why} while the run was set up"))
        log.info("%s: %s while the run was set up", self._claim.job_id, why)
        os._exit(LEFT)

    def _set_timer(self, left_s: float) -> None:
        """Set the timer to end the process a little later than the lease's thread would."""
        after_s = max(left_s, self._pause_s) + SLACK_S
        faulthandler.dump_traceback_later(after_s, exit=True, file=sys.stderr)

    def _give_up(self, still: float) -> None:
        log.error("%s: no progress for %.0f s in phase %s", self._claim.job_id, still, self._phase)
        # sys.exit would end only this thread, and the thread that hangs would run on.
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        os._exit(STALLED)
