"""Reporting: rows leave the loop at once and reach the store from a thread of their own."""

from __future__ import annotations

import logging
import threading
from array import array
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self, TypeVar

from jobs import calls
from jobs.calls import Held
from jobs.functions import Call, Gap
from jobs.metrics import Row
from optcore.training.reports import Evaluation
from worker.journal import Journal
from worker.patience import PATIENCE_S, Patience
from worker.plan import Plan

log = logging.getLogger(__name__)

LOOK_S = 0.05
"""Seconds between two looks at whether the store is away."""

T = TypeVar("T")

PAUSE_S = 0.1
"""
Seconds between two writes: rows that come meanwhile go together. Nobody sees more than ten updates
a second, and the loop shares its interpreter with every write.
"""


class Reporter:
    """
    The way of a run's rows and evaluations to the store.

    The loop never waits for the network: `row` only appends to a list. A write that fails for
    want of a store is repeated; what the store refuses is raised by the next `check`.

    Args:
        held: the job.
        patience: the way to the store.
        plan: what rows hold, and what lr should be.
        first: number of the first row.
        lease_ms: every write extends the lease by this much.
        journal: keeps the rows for a store that loses some.

    Attributes:
        request: what the client asks for, as the store last said: '', pause, cancel or kill.
        last_evaluation: the latest, if there was one.
    """

    def __init__(
        self,
        held: Held,
        patience: Patience,
        plan: Plan,
        *,
        first: int,
        lease_ms: int,
        journal: Journal | None = None,
    ) -> None:
        self.request = ""
        self.last_evaluation: Evaluation | None = None
        self._held, self._patience, self._lease_ms = held, patience, lease_ms
        self._journal = journal
        self._plan, self._off_plan = plan, False
        self._series, self._width = plan.series, plan.series.width
        self._lock = threading.Condition(threading.Lock())
        self._first, self._next = first, first
        self._data = bytearray()  # of the rows from the first to the next, packed when they come
        self._lrs = bytearray()  # of every group in each of these rows, if there are several
        self._evaluations, self._told = list[Evaluation](), list[Evaluation]()
        self._error: Exception | None = None
        self._idle, self._closing = False, False
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="reporter", daemon=True)

    def row(self, step: int, row: Row, lrs: tuple[float, ...] = ()) -> None:
        """
        Take the row of *step*, which must be the one after the last.

        Args:
            step: 0 for the first.
            row: its columns.
            lrs: that of each group of parameters, if there are several; for the plan only.
        """
        assert step == self._next, (step, self._next)
        data = self._series.pack_row(*row)
        with self._lock:
            self._next += 1
            self._data += data
            if lrs:
                self._lrs += array("d", lrs).tobytes()
            if self._idle:
                self._lock.notify_all()

    def evaluation(self, report: Evaluation) -> None:
        """Take an evaluation."""
        with self._lock:
            self.last_evaluation = report
            self._evaluations.append(report)
            self._lock.notify_all()

    def check(self) -> None:
        """Raise what the store refused, if it did."""
        if self._error is not None:
            raise self._error

    def flush(self) -> None:
        """Wait until everything taken so far is stored."""
        self._hurry.set()
        with self._lock:
            stored = self._lock.wait_for(
                lambda: self._error or not (self._data or self._evaluations),
                timeout=2 * PATIENCE_S,
            )
        self.check()
        assert stored  # the writer gives up, with an error, long before

    def stored(self) -> bool:
        """Return whether all is stored that was taken; wait for it unless the store is away."""
        self._hurry.set()
        with self._lock:
            while (self._data or self._evaluations) and not self._error:
                if self._patience.waits:
                    return False
                self._lock.wait(LOOK_S)
        self.check()
        return True

    def send(self, call: Call[T]) -> T:
        """
        Run *call*, once everything taken so far is stored.

        A store that has lost rows gets them again.
        """
        try:
            return self._patience.send(call)
        except Gap as gap:
            self._refill(gap)
        return self.send(call)

    def _refill(self, gap: Gap) -> None:
        """Give the store the rows that it had before, and what was evaluated in them."""
        if self._journal is None or gap.rows >= self._first:
            raise gap
        log.warning("%s: %s: they are sent again", self._held.job_id, gap)
        try:
            for first, data in self._journal.rows(gap.rows, self._first):
                self.send(self._append(first, data))
        except ValueError:
            raise gap from None
        for report in self._told:
            self._patience.send(self._evaluated(report))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        self._hurry.set()
        self._thread.join()

    def _write_all(self) -> None:
        try:
            while self._wait_for_work():
                self._write_rows()
                self._write_evaluations()
                self._hurry.wait(PAUSE_S)
                self._hurry.clear()
        except Exception as error:  # the loop must hear of it: nothing is stored any more
            with self._lock:
                self._error = error
                self._lock.notify_all()

    def _wait_for_work(self) -> bool:
        with self._lock:
            self._idle = True
            self._lock.wait_for(lambda: self._data or self._evaluations or self._closing)
            self._idle = False
            return bool(self._data or self._evaluations)

    def _write_rows(self) -> None:
        with self._lock:
            data, lrs = bytes(self._data), bytes(self._lrs)
        if not data:
            return
        if self._journal is not None:
            self._journal.add(data)
        self.request = self.send(self._append(self._first, data))
        self._compare_with_plan(data, lrs)
        with self._lock:
            self._first += len(data) // self._width
            del self._data[: len(data)], self._lrs[: len(lrs)]
            self._lock.notify_all()

    def _compare_with_plan(self, data: bytes, lrs: bytes) -> None:
        """Say so, once, if an lr was applied that was not planned."""
        if self._off_plan:
            return
        off = self._plan.first_off(self._first, data, lrs)
        if off is not None:
            self._off_plan = True
            self._patience.send(calls.off_plan(self._held, **off._asdict()))

    def _write_evaluations(self) -> None:
        while True:
            with self._lock:
                if not self._evaluations:
                    return
                report = self._evaluations[0]
            self._patience.send(self._evaluated(report))
            with self._lock:
                self._told.append(self._evaluations.pop(0))
                self._lock.notify_all()

    def _append(self, first: int, data: bytes) -> Call[str]:
        return calls.append(
            self._held, first=first, width=self._width, data=data, lease_ms=self._lease_ms
        )

    def _evaluated(self, report: Evaluation) -> Call[None]:
        return calls.evaluated(self._held, step=report.step, data=measured(report))


def measured(report: Evaluation) -> dict[str, Any]:
    """Return what an evaluation found, without what was not asked for."""
    found = asdict(report)
    del found["examples"], found["best"]
    return {name: value for name, value in found.items() if value is not None}
