"""Reporting: rows leave the loop at once, and nobody waits for them to be stored."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Self, TypeVar

from store.jobs import calls
from store.jobs.calls import Claim
from store.redis.functions import CHUNK_ROWS, Call, Gap
from worker.reporting.buffer import Batch, Rows
from worker.reporting.confirmed import Books
from worker.reporting.journal import Journal
from worker.reporting.outbox import News
from worker.reporting.planned import Plan
from worker.reporting.retry import PATIENCE_S, Patience

log = logging.getLogger(__name__)

T = TypeVar("T")

PAUSE_S = 0.1
"""Seconds between two writes of rows: those that come meanwhile go together. Nobody sees more than
ten updates a second."""
LOOK_S = 0.05
"""Seconds between two looks at whether the store is away."""
ABSENT_S = 0.5
"""Seconds without a look of the loop after which the thread sees to the rows."""
ANSWER_S = 0.25
"""Seconds for which the loop leaves rows without an answer; then the thread sees to them."""
SETTLE_S = 2.0
"""Seconds for which the thread waits for that answer. A slow store should not get them twice."""
EXPRESS_BYTES = 2**15
"""What the loop may send by itself: copying that is soon done."""


class Reporter:
    """
    The way of a run's rows and evaluations to the store.

    The loop never waits for the network: `take` and `take_all` only extend a list, and `post` sends
    what has come without waiting for the answer, which a later one finds. A thread does everything
    else: news, many rows at once, the last ones, those of a loop that does not come by, and
    whatever goes wrong. For a step may be shorter than it takes to hand the interpreter to another
    thread.

    A write that fails for want of a store is repeated; what the store refuses is raised by the
    next `check`. No row is ever dropped: when too many wait, the loop has to wait for `room`.

    Args:
        held: the job.
        patience: the way to the store.
        plan: what rows hold, and what lr should be.
        first: number of the first row.
        lease_ms: every write extends the lease by this much.
        journal: keeps the rows for a store that loses some.
        most_bytes: of rows that are not stored, before the loop has to wait.
        interrupt: set when the client asks for something.

    Attributes:
        take: takes the report of a step, the one after the last; `post` is to be called soon.
        take_all: takes those of many, as they are made.
        pack: makes what was taken smaller; worth its while for some ten reports.
        request: what the client asks for, as the store last said: '', pause, cancel or kill.
        held_up_s: seconds that the loop had to wait.
        renewed_at: when the last rows were sent that the store has, by the monotonic clock: it
            renewed the lease then, or later.
        news: what else the store is to hear of; again, `post` is to be called soon.
    """

    def __init__(
        self,
        held: Claim,
        patience: Patience,
        plan: Plan,
        *,
        first: int,
        lease_ms: int,
        journal: Journal | None = None,
        most_bytes: int = 64 * 2**20,
        interrupt: threading.Event | None = None,
    ) -> None:
        self.request = ""
        self.held_up_s = self.renewed_at = 0.0
        self._held, self._patience, self._lease_ms = held, patience, lease_ms
        self._interrupt = interrupt or threading.Event()
        self._books = Books(plan, journal)
        self._width = plan.series.width
        self._rows = Rows(
            first=first,
            width=len(plan.series.columns),
            groups=plan.groups if plan.groups > 1 else 0,
            most_bytes=most_bytes,
        )
        self.take, self.take_all = self._rows.add, self._rows.add_all  # without a call in between
        self.pack = self._rows.pack
        self._pen = threading.RLock()  # of whoever writes, the loop or the thread
        self._express = patience.express()
        self._sent_at = self._looked_at = 0.0
        self._lock = threading.Condition(threading.Lock())  # of what is to be written
        self.news = News(held, self._lock)
        self._error: Exception | None = None
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="reporter", daemon=True)

    def post(self) -> None:
        """Send what has come, if it is time to; find the answer to what was sent before."""
        seen_to = True
        if self._pen.acquire(blocking=False):  # else the thread is writing
            try:
                seen_to = self._post()
            finally:
                self._pen.release()
        if self.news or not seen_to:
            self._wake.set()

    @property
    def full(self) -> bool:
        """Whether the loop should wait for `room` before its next row."""
        return self._rows.too_many

    def room(self) -> bool:
        """Return whether there is room for rows; wait a moment for it, which is counted."""
        began = time.monotonic()
        self._wake.set()
        with self._lock:
            self._lock.wait_for(lambda: self._error or not self.full, timeout=LOOK_S)
        self.held_up_s += time.monotonic() - began
        self.check()
        return not self.full

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
        with self._pen:
            self._enter()

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
        if gap.rows >= self._rows.first:
            raise gap
        log.warning("%s: %s: they are sent again", self._held.job_id, gap)
        with self._pen:
            self._enter()
            try:
                for first, data in self._books.rows(gap.rows, self._rows.first):
                    self.send(self._append(first, data))
            except ValueError:
                raise gap from None
            self.news.tell_again(self._patience.send)

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
        return len(self._rows) > 0 or bool(self.news)

    def _post(self) -> bool:
        """Do what `post` says; return False where the thread has to see to it."""
        now = self._looked_at = time.monotonic()
        self._hear(within_s=0)
        if self._express.waits:
            return now - self._sent_at < ANSWER_S
        if not len(self._rows) or now - self._sent_at < PAUSE_S:
            return True
        if not self._express.is_open or len(self._rows) * self._width > EXPRESS_BYTES:
            return False
        batch, self._sent_at = self._rows.batch(), now
        return self._express.send(batch, self._append(batch.first, batch.data))

    def _hear(self, *, within_s: float) -> None:
        """Take the answer to the rows that were posted, if it is there within that time."""
        found = self._express.heard(within_s=within_s)
        if found is not None:
            self._stored(*found)

    def _write_all(self) -> None:
        try:
            while not self._closing or self._has_work():
                asked = self._closing or self._wake.wait(self._until_absent_s() or ABSENT_S)
                if asked:
                    self._wake.clear()
                with self._pen:
                    if asked or not self._until_absent_s():
                        self._write()
                    if self._books.due:
                        self._enter()
            with self._pen:
                self._enter()
        except Exception as error:  # the loop must hear of it: nothing is stored any more
            with self._lock:
                self._error = error
                self._lock.notify_all()
        finally:
            with self._pen:
                self._express.close()

    def _until_absent_s(self) -> float:
        """Return for how many seconds the thread still leaves the rows to the loop."""
        return max(0.0, self._looked_at + ABSENT_S - time.monotonic())

    def _write(self) -> None:
        """Write all there is."""
        self._hear(within_s=SETTLE_S)
        if self._express.waits:
            self._express.close()
        while len(self._rows):
            batch, self._sent_at = self._rows.batch(), time.monotonic()
            self._stored(batch, self.send(self._append(batch.first, batch.data)))
            if len(self._rows) < CHUNK_ROWS:
                break
            if self._books.due:  # there is much to catch up with
                self._enter()
        self.news.tell(self.send, rows=self._rows.first)
        if not self._express.is_open and not self._closing:
            self._express.open()

    def _stored(self, batch: Batch, request: str) -> None:
        """Note that the store has *batch*, and what it asks for."""
        self.request, self.renewed_at = request, self._sent_at
        if request:
            self._interrupt.set()
        self._books.add(batch)
        with self._lock:
            self._rows.drop(batch)
            self._lock.notify_all()

    def _enter(self) -> None:
        """Enter the rows stored since into the books; say so if an lr was not the planned one."""
        off = self._books.enter()
        if off is not None:
            self._patience.send(calls.off_plan(self._held, **off._asdict()))

    def _append(self, first: int, data: bytes) -> Call[str]:
        return calls.append(
            self._held,
            first=first,
            width=self._width,
            data=data,
            lease_ms=self._lease_ms,
            held_up_ms=int(1000 * self.held_up_s),
        )
