"""News of a run beside its rows: evaluations, and the best state so far."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from optcore.training.reports import Evaluation
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.record import BestPointer
from store.redis.functions import Call

Send = Callable[[Call[Any]], Any]
"""Sends a call, with patience, and returns what it says."""


class News:
    """
    What the store is to hear of, in order, until it has heard.

    The loop brings it, a thread tells it.

    Args:
        held: the job.
        lock: notified whenever the store has heard something.

    Attributes:
        last_evaluation: the latest, if there was one.
    """

    def __init__(self, held: Claim, lock: threading.Condition) -> None:
        self.last_evaluation: Evaluation | None = None
        self._held, self._lock = held, lock
        self._evaluations, self._told = list[Evaluation](), list[Evaluation]()
        self._best: BestPointer | None = None
        self._telling: BestPointer | None = None
        self._needed: list[str] | None = None

    def __bool__(self) -> bool:
        return bool(self._evaluations) or self._best is not None

    def evaluation(self, report: Evaluation) -> None:
        """Take an evaluation."""
        with self._lock:
            self.last_evaluation = report
            self._evaluations.append(report)

    def best(self, best: BestPointer) -> None:
        """Take the best state so far, whose files are whole."""
        with self._lock:
            self._best = best

    def unheard(self) -> BestPointer | None:
        """Take back a best state that the store was not told of, and will not be; return it."""
        with self._lock:
            if self._best is self._telling:
                return None
            unheard, self._best = self._best, None
        return unheard

    def needed(self) -> list[str] | None:
        """Return what the files of the job are needed for, if the store has just said so."""
        with self._lock:
            needed, self._needed = self._needed, None
            if needed is not None and self._best is not None:
                needed.append(self._best.path)
        return needed

    def tell(self, send: Send, *, rows: int) -> None:
        """Tell what there is to a store that has *rows* rows."""
        while self._evaluations:
            report = self._evaluations[0]
            send(self._evaluated(report))
            with self._lock:
                self._told.append(self._evaluations.pop(0))
                self._lock.notify_all()
        self._tell_best(send, rows)

    def tell_again(self, send: Send) -> None:
        """Tell the evaluations that the store had heard of, for one that lost some."""
        for report in self._told:
            send(self._evaluated(report))

    def _tell_best(self, send: Send, rows: int) -> None:
        with self._lock:
            best = self._best
            if best is None or best.step > rows:
                return  # rows before it go first
            self._telling = best
        needed = send(calls.best_kept(self._held, **vars(best)))
        with self._lock:
            if self._best is best:
                self._best = None
            self._telling, self._needed = None, needed
            self._lock.notify_all()

    def _evaluated(self, report: Evaluation) -> Call[None]:
        return calls.evaluated(self._held, step=report.step, data=measured(report))


def measured(report: Evaluation) -> dict[str, Any]:
    """Return what an evaluation found, without what was not asked for."""
    found = asdict(report)
    del found["examples"], found["best"]
    return {name: value for name, value in found.items() if value is not None}
