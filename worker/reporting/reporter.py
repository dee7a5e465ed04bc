"""
Reporting: sends the rows of a run to Redis, without making training wait until they are stored.

A row has the metrics of one step. Two senders write rows, under one lock. The training loop sends
rows without waiting for the reply. The reporter's thread waits for the reply, and retries. A step
may take less time than a switch between threads, so normally the loop sends all rows.

The loop's connection (`PipelinedWriter`) is in one of three states. At first it is CLOSED. An
event that closes it is called a break::

                        thread: all rows sent, connection opened
              +---------------------------------------------------------+
              |                                                         |
              v          loop: a batch sent                             |
            IDLE ------------------------------> IN FLIGHT              |
            |    <------------------------------ |                      |
            |      loop or thread: the reply     | break: an error,     |
            |                                    | a refusal, or no     |
            | break: an error                    | reply in SETTLE_S    |
            +-------------------> CLOSED <-------+                      |
                                  |                                     |
                                  +-------------------------------------+

The loop sends rows when it polls (`send_rows`) in state IDLE, if a period of `Cadence` has passed
since rows were last sent. It sends at most PIPELINED_BYTES, which the socket takes without
blocking. While the thread has the lock, the loop sends nothing.

The thread sends rows when the loop wakes it, or when the loop has not polled for ABSENT_S (a step
may take a minute). The loop wakes the thread in these cases:

- The loop has rows to send in state CLOSED.
- The loop has more rows than it may send.
- A reply is overdue.
- There are evaluations or best states to send.
- The loop waits for its rows to be stored.

In state IN FLIGHT, the thread first waits up to SETTLE_S for the reply, so that a slow server does
not get the rows twice.

No row is dropped: a row leaves the buffer only once Redis has confirmed it, to the loop or to the
thread. After a break, the rows whose reply was lost are sent again. Redis accepts a row that it has
stored already only if both are equal.

On a break, the loop only closes the connection and wakes the thread. The thread sends the rows
again, with retries, and then opens the connection. While Redis is unreachable, the thread waits. If
Redis has lost rows, the thread sends these rows again from the journal. If Redis refuses rows for
another reason, the thread ends, and the loop's next `check` raises the error.
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
"""Seconds for which the thread waits for the reply to rows that the loop sent."""
PIPELINED_BYTES = 2**15
"""Maximum number of bytes that the loop sends at once: less than a socket's send buffer takes, so
that sending never blocks."""
WAIT_S = 0.05
"""Seconds between two checks for errors and outages, while the loop waits for its rows."""


class Reporter:
    """
    Writes a run's rows, evaluations and best states to Redis; see the module's docstring.

    No row is ever dropped. While too many rows are not stored (`saturated`), the loop has to wait
    for space.

    Args:
        claim: the id of the job, and the token with which this worker claimed it.
        sender: sends calls to Redis, and retries them.
        plan: the columns of the rows, and the planned lrs.
        first: the number of the attempt's first row.
        lease_ms: milliseconds from a write of rows until the lease expires.
        journal: the journal, from which rows that Redis loses are sent again; None for no journal.
        most_bytes: the size of rows that are not stored, in bytes, at which the loop has to wait.
        interrupt: an event that the reporter sets when an action is requested for the job.
        cadence: the clock for both senders.
        writer: the writer of the loop's rows; by default, a new one from *sender*.

    Attributes:
        take: a method that takes the report of the next step; call `send_rows` soon after.
        take_all: a method that takes the reports of the next steps from an iterator.
        pack: a method that compacts the reports taken so far; worthwhile for ten or more.
        cadence: the clock for both senders.
        outbox: the evaluations and best states to be sent; call `send_rows` soon after adding one.
        requested_action: the action that the last reply from Redis requests: pause, cancel, kill or
            timeout, or '' for none.
        stalled_s: the seconds for which the loop had to wait for space so far.
        renewed_at: the time at which the last confirmed rows were sent, by the cadence's clock;
            the lease was renewed then, or later.
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
        # The buffer's own methods, without a further call: they run in every step.
        self.take, self.take_all = self._rows.add, self._rows.add_all
        self.pack = self._rows.pack
        # Reentrant: the thread has the lock when one of its calls finds a gap, and `_resend`
        # acquires the lock again.
        self._write_lock = threading.RLock()  # acquired by the sender that writes
        self._writer = writer or sender.pipelined_writer()
        self._lock = threading.Condition(threading.Lock())  # notified when something was stored
        self.outbox = Outbox(claim, self._lock)
        self._error: Exception | None = None
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def send_rows(self) -> None:
        """Read the reply to the rows sent before, and send further rows if the loop may send."""
        done = True
        if self._write_lock.acquire(blocking=False):  # otherwise the thread is writing
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
        """
        Wait up to 0.05 s (`WAIT_S`) for space; return whether there is space.

        The time waited is added to `stalled_s`.
        """
        began = self.cadence.clock()
        self._wake.set()
        found = self._rows.wait_for_space(timeout_s=WAIT_S)
        self.stalled_s += self.cadence.clock() - began
        self.check()
        return found

    def check(self) -> None:
        """Raise the error (such as a refused write) that ended the reporter's thread, if any."""
        if self._error is not None:
            raise self._error

    def flush(self) -> None:
        """Wait until the rows and the outbox are stored; raise the error if that fails."""
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
        """
        Wait until all rows, evaluations and best states are stored; then return True.

        Return False as soon as Redis is unavailable.
        """
        self._wake.set()
        with self._lock:
            while self._has_work() and not self._error:
                if self._sender.retrying:
                    return False
                self._lock.wait(WAIT_S)
        self.check()
        return True

    def send(self, call: Call[T]) -> T:
        """Send *call* and return its result; if Redis has lost rows, send those again first."""
        try:
            return self._sender.send(call)
        except Gap as gap:
            self._resend(gap)
        return self.send(call)

    def _resend(self, gap: Gap) -> None:
        """Send again all evaluations, and the rows that Redis has confirmed and then lost."""
        # Redis has every row that it confirmed: sending those again would close no gap, and `send`
        # would never end.
        if gap.rows >= self._rows.first:
            raise gap
        log.warning("%s: %s: the missing rows are sent again", self._claim.job_id, gap)
        with self._write_lock:
            self._flush_confirmed()
            try:
                for first, data in self._confirmed.rows(gap.rows, self._rows.first):
                    self.send(self._append(first, data))
            except ValueError:
                raise gap from None
            # All of them: those that are still stored are equal, and change nothing.
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
        """Do the work of `send_rows` under the lock; return False if the thread must send."""
        self.cadence.polled()
        self._receive(within_s=0)
        if self._writer.awaits_answer:
            return not self.cadence.answer_is_late
        if not len(self._rows) or not self.cadence.may_send:
            return True
        if not self._writer.is_open or len(self._rows) * self._width > PIPELINED_BYTES:
            return False
        batch = self._rows.batch()
        # Recorded before sending: the server renews the lease later than this, never earlier.
        self.cadence.sent()
        return self._writer.send(batch, self._append(batch.first, batch.data))

    def _receive(self, *, within_s: float) -> None:
        """Wait up to *within_s* seconds for the reply to the rows in flight, and process it."""
        found = self._writer.receive(within_s=within_s)
        if found is not None:
            self._store_has(*found)

    def _run(self) -> None:
        """The thread's work: write rows when woken, or when the loop is absent, until closed."""
        try:
            while not self._closing or self._has_work():
                # `or`: while the loop is absent, its remaining time is 0 s, and waiting for 0 s
                # would spin.
                woken = self._closing or self._wake.wait(self.cadence.until_absent_s() or ABSENT_S)
                if woken:
                    # Cleared before the rows are read, so that a wake for later rows is not lost.
                    self._wake.clear()
                with self._write_lock:
                    if woken or not self.cadence.until_absent_s():
                        self._write_all()
                    if self._confirmed.due:
                        self._flush_confirmed()
            with self._write_lock:
                self._flush_confirmed()
        except Exception as error:  # raised by `check`: from here on nothing more is stored
            with self._lock:
                self._error = error
                self._lock.notify_all()
        finally:
            with self._write_lock:
                self._writer.close()

    def _write_all(self) -> None:
        """Write the rows and the outbox, with retries; then open the loop's connection again."""
        self._receive(within_s=SETTLE_S)
        if self._writer.awaits_answer:
            self._writer.close()
        while len(self._rows):
            batch = self._rows.batch()
            self.cadence.sent()
            self._store_has(batch, self.send(self._append(batch.first, batch.data)))
            if len(self._rows) < CHUNK_ROWS:  # added meanwhile: the loop sends these rows
                break
            if self._confirmed.due:  # otherwise a long backlog would stay in memory
                self._flush_confirmed()
        self.outbox.send_all(self.send, rows=self._rows.first)
        if not self._writer.is_open and not self._closing:
            self._writer.open()

    def _store_has(self, batch: Batch, requested_action: str) -> None:
        """Forget the rows of *batch*, which Redis now has, and note a requested action."""
        self.requested_action, self.renewed_at = requested_action, self.cadence.sent_at
        if requested_action:
            self._interrupt.set()
        self._confirmed.add(batch)
        with self._lock:
            self._rows.drop(batch)
            self._lock.notify_all()

    def _flush_confirmed(self) -> None:
        """Append newly stored rows to the journal; record the first lr that is not as planned."""
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
