"""Reporting: rows leave the loop at once and reach the store from a thread of their own."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self, TypeVar

from jobs import calls
from jobs.calls import Held
from jobs.functions import CHUNK_ROWS, Call, Gap
from jobs.record import BestPointer
from optcore.training.reports import Evaluation
from worker.journal import Journal
from worker.patience import PATIENCE_S, Patience
from worker.plan import Plan
from worker.rows import Batch, Rows

log = logging.getLogger(__name__)

LOOK_S = 0.05
"""Seconds between two looks at whether the store is away."""

T = TypeVar("T")

PAUSE_S = 0.1
"""Seconds between two writes: rows that come meanwhile go together. Nobody sees more than ten
updates a second."""
SHARE = 0.003
"""Part of the time that this thread may compute: the loop shares its interpreter with it. Where a
write takes longer, the pause after it does too."""
LONGEST_PAUSE_S = 0.2
COMPARE_S = 1.0
"""Seconds between two comparisons with the plan, which cost the more for few rows."""


class Reporter:
    """
    The way of a run's rows and evaluations to the store.

    The loop never waits for the network: `take` only extends an array. A write that fails for
    want of a store is repeated; what the store refuses is raised by the next `check`. No row is
    ever dropped: when too many wait, the loop has to wait for `room`.

    Args:
        held: the job.
        patience: the way to the store.
        plan: what rows hold, and what lr should be.
        first: number of the first row.
        lease_ms: every write extends the lease by this much.
        journal: keeps the rows for a store that loses some.
        most_bytes: of rows that are not stored, before the loop has to wait.

    Attributes:
        take: takes the report of a step, the one after the last; `wake` is to be called soon.
        request: what the client asks for, as the store last said: '', pause, cancel or kill.
        held_up_s: seconds that the loop had to wait.
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
        most_bytes: int = 64 * 2**20,
    ) -> None:
        self.request = ""
        self.held_up_s = 0.0
        self.last_evaluation: Evaluation | None = None
        self._held, self._patience, self._lease_ms = held, patience, lease_ms
        self._journal = journal
        self._plan, self._off_plan = plan, False
        self._uncompared, self._compared_at = list[Batch](), time.monotonic()
        self._width = plan.series.width
        self._rows = Rows(
            first=first,
            width=len(plan.series.columns),
            groups=plan.groups if plan.groups > 1 else 0,
            most_bytes=most_bytes,
        )
        self.take = self._rows.add  # without a call in between: a step may take 0.1 ms
        self._lock = threading.Condition(threading.Lock())
        self._evaluations, self._told = list[Evaluation](), list[Evaluation]()
        self._best: BestPointer | None = None
        self._telling: BestPointer | None = None
        self._needed: list[str] | None = None
        self._error: Exception | None = None
        self._idle, self._closing = False, False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="reporter", daemon=True)

    def wake(self) -> None:
        """Let the writer look, if it has nothing to do: there are rows, and each in its place."""
        with self._lock:
            assert self._rows.last + 1 == self._rows.first + len(self._rows), self._rows.last
        if self._idle:
            self._wake.set()

    @property
    def full(self) -> bool:
        """Whether the loop should wait for `room` before its next row."""
        return self._rows.too_many

    def room(self) -> bool:
        """Return whether there is room for rows; wait a moment for it, which is counted."""
        began = time.monotonic()
        with self._lock:
            self._lock.wait_for(lambda: self._error or not self.full, timeout=LOOK_S)
        self.held_up_s += time.monotonic() - began
        self.check()
        return not self.full

    def evaluation(self, report: Evaluation) -> None:
        """Take an evaluation."""
        with self._lock:
            self.last_evaluation = report
            self._evaluations.append(report)
        self._wake.set()

    def best(self, best: BestPointer) -> None:
        """Take the best state so far, whose files are whole."""
        with self._lock:
            self._best = best
        self._wake.set()

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

    def check(self) -> None:
        """Raise what the store refused, if it did."""
        if self._error is not None:
            raise self._error

    def flush(self) -> None:
        """Wait until everything taken so far is stored."""
        self._wake.set()
        with self._lock:
            stored = self._lock.wait_for(
                lambda: self._error or not self._has_work(), timeout=2 * PATIENCE_S
            )
        self.check()
        assert stored  # the writer gives up, with an error, long before
        self._compare_with_plan()  # the writer has nothing to do, so to compare, until the next row

    def stored(self) -> bool:
        """Return whether all is stored that was taken; wait for it unless the store is away."""
        self._wake.set()
        with self._lock:
            while self._has_work() and not self._error:
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
        if self._journal is None or gap.rows >= self._rows.first:
            raise gap
        log.warning("%s: %s: they are sent again", self._held.job_id, gap)
        try:
            for first, data in self._journal.rows(gap.rows, self._rows.first):
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
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _has_work(self) -> bool:
        return len(self._rows) > 0 or len(self._evaluations) > 0 or self._best is not None

    def _write_all(self) -> None:
        try:
            began = time.thread_time()
            while self._wait_for_work():
                self._write_rows()
                self._write_evaluations()
                self._write_best()
                computed_s, began = time.thread_time() - began, time.thread_time()
                if len(self._rows) < CHUNK_ROWS:  # else there is much to catch up with
                    self._wake.wait(min(max(PAUSE_S, computed_s / SHARE), LONGEST_PAUSE_S))
                    self._wake.clear()
            self._compare_with_plan()
        except Exception as error:  # the loop must hear of it: nothing is stored any more
            with self._lock:
                self._error = error
                self._lock.notify_all()

    def _wait_for_work(self) -> bool:
        """Wait until there is some; return False if there will be none."""
        self._idle = True  # before looking: a row that comes later wakes this thread
        while not self._has_work() and not self._closing:
            self._wake.wait()
            self._wake.clear()
        self._idle = False
        return self._has_work()

    def _write_rows(self) -> None:
        batch = self._rows.batch()
        if not batch.data:
            return
        if self._journal is not None:
            self._journal.add(batch.data)
        self.request = self.send(self._append(batch.first, batch.data))
        self._uncompared.append(batch)
        since = batch.first - self._uncompared[0].first
        if since >= CHUNK_ROWS or time.monotonic() - self._compared_at >= COMPARE_S:
            self._compare_with_plan()
        with self._lock:
            self._rows.drop(batch)
            self._lock.notify_all()

    def _compare_with_plan(self) -> None:
        """Say so, once, if an lr was applied that was not planned, in the rows stored since."""
        batches, self._uncompared = self._uncompared, []
        self._compared_at = time.monotonic()
        if self._off_plan or not batches:
            return
        data = b"".join(batch.data for batch in batches)
        lrs = b"".join(batch.lrs for batch in batches)
        off = self._plan.first_off(batches[0].first, data, lrs)
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

    def _write_best(self) -> None:
        with self._lock:
            best = self._best
            if best is None or best.step > self._rows.first:
                return  # rows before it go first
            self._telling = best
        needed = self.send(calls.best_kept(self._held, **vars(best)))
        with self._lock:
            if self._best is best:
                self._best = None
            self._telling, self._needed = None, needed
            self._lock.notify_all()

    def _append(self, first: int, data: bytes) -> Call[str]:
        return calls.append(
            self._held,
            first=first,
            width=self._width,
            data=data,
            lease_ms=self._lease_ms,
            held_up_ms=int(1000 * self.held_up_s),
        )

    def _evaluated(self, report: Evaluation) -> Call[None]:
        return calls.evaluated(self._held, step=report.step, data=measured(report))


def measured(report: Evaluation) -> dict[str, Any]:
    """Return what an evaluation found, without what was not asked for."""
    found = asdict(report)
    del found["examples"], found["best"]
    return {name: value for name, value in found.items() if value is not None}
