"""What a run sends to the store beside its rows: evaluations, and the best state so far."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from optcore.training.reports import Evaluation
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.pointers import BestPointer
from store.redis.functions import Call

Send = Callable[[Call[Any]], Any]
"""Sends a call, retrying while the store is away, and returns its answer."""


class Outbox:
    """
    Evaluations, in order, and the latest best state, until the store has them.

    The loop adds, the reporter's thread sends.

    Args:
        claim: on the job.
        lock: notified whenever something was stored.

    Attributes:
        last_evaluation: the latest, if there was one.
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
        """Add an evaluation."""
        with self._lock:
            self.last_evaluation = report
            self._evaluations.append(report)

    def set_best(self, best: BestPointer) -> None:
        """Set the best state so far; its files are complete."""
        with self._lock:
            self._best = best

    def withdraw_best(self) -> BestPointer | None:
        """Remove and return a best state that was not sent, so that its files can be deleted."""
        with self._lock:
            # The store may have it, and point to its files, though its answer is not here yet. (Or
            # there is none at all.)
            if self._best is self._sending:
                return None
            withdrawn, self._best = self._best, None
        return withdrawn

    def pop_needed(self) -> list[str] | None:
        """Return the paths of the files that the job needs, if the store has just listed them."""
        with self._lock:
            needed, self._needed = self._needed, None
            if needed is not None and self._best is not None:
                needed.append(self._best.path)  # newer than the store's list
        return needed

    def send_all(self, send: Send, *, rows: int) -> None:
        """Send everything to a store that has *rows* rows."""
        while self._evaluations:
            report = self._evaluations[0]
            send(self._evaluated(report))
            # Removed only now: until the store has it, `flush` has to wait for it. Kept after that,
            # for a store that loses some: the journal has rows alone.
            with self._lock:
                self._sent.append(self._evaluations.pop(0))
                self._lock.notify_all()
        self._send_best(send, rows)

    def resend_evaluations(self, send: Send) -> None:
        """Send again the evaluations that were sent, to a store that has lost some."""
        for report in self._sent:
            send(self._evaluated(report))

    def _send_best(self, send: Send, rows: int) -> None:
        with self._lock:
            best = self._best
            if best is None or best.step > rows:
                return  # the rows before it go first: the store refuses a pointer beyond them
            self._sending = best
        needed = send(calls.best_kept(self._claim, **vars(best)))
        with self._lock:
            # The loop may have set a better one meanwhile, which is still to be sent.
            if self._best is best:
                self._best = None
            self._sending, self._needed = None, needed
            self._lock.notify_all()

    def _evaluated(self, report: Evaluation) -> Call[None]:
        return calls.evaluated(self._claim, step=report.step, data=metrics_of(report))


def metrics_of(report: Evaluation) -> dict[str, Any]:
    """Return the metrics of an evaluation, without those that the job does not ask for."""
    found = asdict(report)
    del found["examples"], found["best"]
    # In the order of the fields, always: the store compares a replayed evaluation as text.
    return {name: value for name, value in found.items() if value is not None}
