"""Holds what a run sends to Redis besides its rows: evaluations, and the best state so far."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from optcore.training.reports import Evaluation
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.pointers import BestPointer
from store.redis.functions import Call
from worker.reporting.evaluations import event_of

Send = Callable[[Call[Any]], Any]
"""A function that sends a call, retries while Redis is unavailable, and returns the result."""


class Outbox:
    """
    Holds evaluations, in order, and the latest best state, until they are stored in Redis.

    The training loop adds them, and the reporter's thread sends them.

    Args:
        claim: the id of the job, and the token with which this worker claimed it.
        lock: a condition that is notified whenever an evaluation or a best state has been stored.

    Attributes:
        last_evaluation: the latest evaluation, or None if there was none.
    """

    def __init__(self, claim: Claim, lock: threading.Condition) -> None:
        self.last_evaluation: Evaluation | None = None
        self._claim, self._lock = claim, lock
        self._evaluations, self._sent = list[Evaluation](), list[Evaluation]()
        self._best: BestPointer | None = None
        self._sending: BestPointer | None = None
        self._needed: list[str] | None = None

    def __bool__(self) -> bool:
        return bool(self._evaluations) or self._best is not None

    def add_evaluation(self, report: Evaluation) -> None:
        """
        Add an evaluation to be sent.

        Ignore an evaluation without metrics, which only passed the training loss to a schedule.
        """
        if not report.metrics:
            return
        with self._lock:
            self.last_evaluation = report
            self._evaluations.append(report)

    def set_best(self, best: BestPointer) -> None:
        """Set *best*, whose files are complete, as the best state to be sent."""
        with self._lock:
            self._best = best

    def withdraw_best(self) -> BestPointer | None:
        """
        Remove the best state from the outbox, and return it.

        Return None if the outbox has no best state, or if its best state is being sent.
        """
        with self._lock:
            # A best state that is being sent stays: the record may point to its files already,
            # although the reply is not here yet. (Both are None if there is no best state.)
            if self._best is self._sending:
                return None
            withdrawn, self._best = self._best, None
        return withdrawn

    def pop_needed(self) -> list[str] | None:
        """
        Return the paths of the files that are still needed.

        These are the files in the latest reply that lists needed files, and the best state that is
        still to be sent. Return None if there was no such reply since the last call.
        """
        with self._lock:
            needed, self._needed = self._needed, None
            if needed is not None and self._best is not None:
                needed.append(self._best.path)  # newer than the list in the reply
        return needed

    def send_all(self, send: Send, *, rows: int) -> None:
        """
        Send all evaluations, and the best state if the rows before it are stored.

        *rows* is the number of rows that are stored.
        """
        while self._evaluations:
            report = self._evaluations[0]
            send(self._evaluated(report))
            # Removed only now, since `flush` has to wait until the evaluation is stored. Kept in
            # `_sent` in case Redis loses it: the journal contains only rows.
            with self._lock:
                self._sent.append(self._evaluations.pop(0))
                self._lock.notify_all()
        self._send_best(send, rows)

    def resend_evaluations(self, send: Send) -> None:
        """Send again all evaluations that were sent so far, since Redis has lost some of them."""
        for report in self._sent:
            send(self._evaluated(report))

    def _send_best(self, send: Send, rows: int) -> None:
        with self._lock:
            best = self._best
            if best is None or best.step > rows:
                return  # the rows before it come first: otherwise Redis refuses the pointer
            self._sending = best
        needed = send(calls.best_kept(self._claim, **vars(best)))
        with self._lock:
            # The loop may have set a better state meanwhile, which is still to be sent.
            if self._best is best:
                self._best = None
            self._sending, self._needed = None, needed
            self._lock.notify_all()

    def _evaluated(self, report: Evaluation) -> Call[None]:
        return calls.evaluated(self._claim, step=report.step, data=event_of(report))
