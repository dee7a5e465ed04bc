"""
Reporting: rows leave the loop at once, and training does not wait until they are stored.

Two senders write the rows of a run to the store, under one lock: the loop, which writes without
waiting for the answer, and the reporter's thread, which waits and retries. A step may be shorter
than it takes to hand the interpreter to another thread, so in the normal case the loop does it all.

The loop's connection (`PipelinedWriter`) is in one of three states, at first CLOSED::

                        thread: all rows sent, connection opened
              +---------------------------------------------------------+
              |                                                         |
              v          loop: a batch sent                             |
            IDLE ------------------------------> IN FLIGHT              |
            |    <------------------------------ |                      |
            |      loop or thread: the answer    | break: an error,     |
            |                                    | a refusal, or no     |
            | break: an error                    | answer in SETTLE_S   |
            +-------------------> CLOSED <-------+                      |
                                  |                                     |
                                  +-------------------------------------+

Which sender may send, and when (`Cadence` tells the time):

- The loop polls (`send_rows`). It sends in state IDLE only, a period after rows were last sent, and
  at most PIPELINED_BYTES, which the socket takes without blocking. If the thread has the lock, it
  sends nothing.
- The thread sends when it is woken, which the loop does when it polls in state CLOSED, when there
  are more rows than it may send, when an answer is late, when evaluations or best states are to be
  sent, and when it waits for its rows to be stored. It also sends when the loop has not polled for
  ABSENT_S, as in a step of a minute.
- In state IN FLIGHT, the thread first waits SETTLE_S for the answer, so that a slow store does not
  get the rows twice.

What may be dropped, and when: a row leaves the buffer only when the store has confirmed it, to the
loop or to the thread. A break drops the connection and the answer, never the rows: they are still
the first in the buffer, and the thread sends them again. Stored rows that arrive twice must be
equal, else the store refuses them.

What happens on a break: the loop only notes it and wakes the thread. The thread sends the rows with
retries, so it gets the error that the loop did not read: while the store is unreachable it waits,
rows that the store has lost it sends again from the journal, and any other refusal is raised by the
loop's next `check`. Then it opens the connection again.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self, TypeVar

from store.jobs import calls
from store.jobs.calls import Claim
from store.redis.constants import CHUNK_ROWS
from store.redis.functions import Call, Gap
from worker.reporting.buffer import Batch, RowBuffer
from worker.reporting.cadence import ABSENT_S, Cadence
from worker.reporting.confirmed import ConfirmedRows
from worker.reporting.journal import Journal
from worker.reporting.outbox import Outbox
from worker.reporting.pipelined import PipelinedWriter
from worker.reporting.planned import LrPlan
from worker.reporting.retry import GIVE_UP_AFTER_S, RetryingSender

log = logging.getLogger(__name__)

T = TypeVar("T")

SETTLE_S = 2.0
"""Seconds for which the thread waits for the answer to rows that the loop sent."""
PIPELINED_BYTES = 2**15
"""What the loop may send at once: well below a socket's send buffer, so that it never blocks."""
WAIT_S = 0.05
"""How often a loop that waits for its rows checks for a store that is away, and for errors."""


class Reporter:
    """
    Writes a run's rows, evaluations and best states to the store; see the module's docstring.

    No row is ever dropped. When too many are not stored (`saturated`), the loop has to wait for
    space.

    Args:
        claim: on the job.
        sender: of calls to the store.
        plan: what rows hold, and what lr should be.
        first: number of the first row.
        lease_ms: every write extends the lease by this much.
        journal: keeps the rows for a store that loses some.
        most_bytes: size of rows that are not stored, before the loop has to wait.
        interrupt: set when something is requested of the run.
        cadence: the clock of both senders.
        writer: of the loop's rows; by default one of *sender*.

    Attributes:
        take: takes the report of a step, the one after the last; call `send_rows` soon after.
        take_all: takes the reports of many steps, as they are made.
        pack: compacts what was taken; worth its while for some ten reports.
        cadence: as given.
        outbox: evaluations and best states to be sent; call `send_rows` soon after adding.
        requested_action: what the store last asked for: '', pause, cancel, kill or timeout.
        stalled_s: seconds for which the loop had to wait for space.
        renewed_at: when the last confirmed rows were sent, by the cadence's clock; the store
            extended the lease then, or later.
    """

    def __init__(
        self,
        claim: Claim,
        sender: RetryingSender,
        plan: LrPlan,
        *,
        first: int,
        lease_ms: int,
        journal: Journal | None = None,
        most_bytes: int = 64 * 2**20,
        interrupt: threading.Event | None = None,
        cadence: Cadence | None = None,
        writer: PipelinedWriter | None = None,
    ) -> None:
        self.requested_action = ""
        self.stalled_s = self.renewed_at = 0.0
        self.cadence = cadence or Cadence()
        self._claim, self._sender, self._lease_ms = claim, sender, lease_ms
        self._interrupt = interrupt or threading.Event()
        self._confirmed = ConfirmedRows(plan, journal, self.cadence.clock)
        self._width = plan.series.width
        self._rows = RowBuffer(
            first=first,
            width=len(plan.series.columns),
            groups=plan.groups if plan.groups > 1 else 0,
            most_bytes=most_bytes,
        )
        # The buffer's own methods, without a call in between: they are on the path of every step.
        self.take, self.take_all = self._rows.add, self._rows.add_all
        self.pack = self._rows.pack
        # Reentrant: the thread has it when one of its calls finds a gap, and `_resend` takes it
        # again.
        self._write_lock = threading.RLock()  # owned by the sender that writes
        self._writer = writer or sender.pipelined_writer()
        self._lock = threading.Condition(threading.Lock())  # notified when something was stored
        self.outbox = Outbox(claim, self._lock)
        self._error: Exception | None = None
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def send_rows(self) -> None:
        """Send rows if a period is over and the loop may; receive the answer to those before."""
        done = True
        if self._write_lock.acquire(blocking=False):  # else the thread is writing
            try:
                done = self._send_rows()
            finally:
                self._write_lock.release()
        if self.outbox or not done:
            self._wake.set()

    @property
    def saturated(self) -> bool:
        """Whether the loop should wait for space before its next row."""
        return self._rows.saturated

    def wait_for_space(self) -> bool:
        """Wait a moment for space for rows, and count the time; return whether there is some."""
        began = self.cadence.clock()
        self._wake.set()
        found = self._rows.wait_for_space(timeout_s=WAIT_S)
        self.stalled_s += self.cadence.clock() - began
        self.check()
        return found

    def check(self) -> None:
        """Raise what the store refused, if it did."""
        if self._error is not None:
            raise self._error

    def flush(self) -> None:
        """Wait until everything taken so far is stored."""
        self._wake.set()
        with self._lock:
            stored = self._lock.wait_for(
                lambda: self._error or not self._has_work(), timeout=2 * GIVE_UP_AFTER_S
            )
        self.check()
        assert stored  # the thread gives up, with an error, long before
        with self._write_lock:
            self._flush_confirmed()

    def all_stored(self) -> bool:
        """Wait until everything taken is stored; return False at once if the store is away."""
        self._wake.set()
        with self._lock:
            while self._has_work() and not self._error:
                if self._sender.retrying:
                    return False
                self._lock.wait(WAIT_S)
        self.check()
        return True

    def send(self, call: Call[T]) -> T:
        """Send *call* and return its answer; a store that has lost rows gets them again first."""
        try:
            return self._sender.send(call)
        except Gap as gap:
            self._resend(gap)
        return self.send(call)

    def _resend(self, gap: Gap) -> None:
        """Send the rows that the store had before, and the evaluations among them."""
        # The store has every row that it confirmed: sending them again would close no gap, and
        # `send` would never end.
        if gap.rows >= self._rows.first:
            raise gap
        log.warning("%s: %s: they are sent again", self._claim.job_id, gap)
        with self._write_lock:
            self._flush_confirmed()
            try:
                for first, data in self._confirmed.rows(gap.rows, self._rows.first):
                    self.send(self._append(first, data))
            except ValueError:
                raise gap from None
            # All of them: those that the store still has are equal, and change nothing.
            self.outbox.resend_evaluations(self._sender.send)

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
        return len(self._rows) > 0 or bool(self.outbox)

    def _send_rows(self) -> bool:
        """Do what `send_rows` says, as the holder of the lock; return False to wake the thread."""
        self.cadence.polled()
        self._receive(within_s=0)
        if self._writer.awaits_answer:
            return not self.cadence.answer_is_late
        if not len(self._rows) or not self.cadence.may_send:
            return True
        if not self._writer.is_open or len(self._rows) * self._width > PIPELINED_BYTES:
            return False
        batch = self._rows.batch()
        # Before it is sent: the lease is extended at the server, later than this, never earlier.
        self.cadence.sent()
        return self._writer.send(batch, self._append(batch.first, batch.data))

    def _receive(self, *, within_s: float) -> None:
        """Take the answer to the rows in flight, if it comes within that time."""
        found = self._writer.receive(within_s=within_s)
        if found is not None:
            self._store_has(*found)

    def _run(self) -> None:
        """Be the thread: write whenever woken, or when the loop is absent, until closed."""
        try:
            while not self._closing or self._has_work():
                # `or`: while the loop is absent nothing is left of its time, and a wait for 0 s
                # would spin.
                woken = self._closing or self._wake.wait(self.cadence.until_absent_s() or ABSENT_S)
                if woken:
                    # Before the rows are looked at, so that a wake for later ones is not lost.
                    self._wake.clear()
                with self._write_lock:
                    if woken or not self.cadence.until_absent_s():
                        self._write_all()
                    if self._confirmed.due:
                        self._flush_confirmed()
            with self._write_lock:
                self._flush_confirmed()
        except Exception as error:  # for `check`: from here on nothing is stored any more
            with self._lock:
                self._error = error
                self._lock.notify_all()
        finally:
            with self._write_lock:
                self._writer.close()

    def _write_all(self) -> None:
        """Write all rows, then the outbox, with retries; then let the loop send again."""
        self._receive(within_s=SETTLE_S)
        if self._writer.awaits_answer:
            self._writer.close()
        while len(self._rows):
            batch = self._rows.batch()
            self.cadence.sent()
            self._store_has(batch, self.send(self._append(batch.first, batch.data)))
            if len(self._rows) < CHUNK_ROWS:  # they came meanwhile: the loop sends them
                break
            if self._confirmed.due:  # a long backlog would wait here in memory
                self._flush_confirmed()
        self.outbox.send_all(self.send, rows=self._rows.first)
        if not self._writer.is_open and not self._closing:
            self._writer.open()

    def _store_has(self, batch: Batch, requested_action: str) -> None:
        """Note that the store has *batch*, and what it asks for."""
        self.requested_action, self.renewed_at = requested_action, self.cadence.sent_at
        if requested_action:
            self._interrupt.set()
        self._confirmed.add(batch)
        with self._lock:
            self._rows.drop(batch)
            self._lock.notify_all()

    def _flush_confirmed(self) -> None:
        """Journal and check the rows stored since; tell the store if an lr was off plan."""
        off = self._confirmed.flush()
        if off is not None:
            self._sender.send(calls.off_plan(self._claim, **off._asdict()))

    def _append(self, first: int, data: bytes) -> Call[str]:
        return calls.append(
            self._claim,
            first=first,
            width=self._width,
            data=data,
            lease_ms=self._lease_ms,
            stalled_ms=int(1000 * self.stalled_s),
        )
