"""Reporting: rows leave the loop at once and reach the store from a thread of their own."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Self, TypeVar

import redis

from jobs import functions
from jobs.functions import Call, Fenced, Gap, Held, ReplayDiffers, send
from jobs.metrics import WIDTH, Row, pack
from optcore.training.reports import Evaluation

log = logging.getLogger(__name__)

T = TypeVar("T")

PAUSE_S = 0.02
"""Seconds between two writes: rows that come meanwhile go together."""
RETRY_S = 0.25
"""Seconds before a write that did not reach the store is tried again."""
PATIENCE_S = 600.0
"""Seconds for which a store that is away is waited for."""


class Reporter:
    """
    The way of a run's rows and evaluations to the store.

    The loop never waits for the network: `row` only appends to a list. A write that fails for
    want of a connection is repeated; what the store refuses is raised by the next `check`.

    Attributes:
        request: what the client asks for, as the store last said: '', pause, cancel or kill.
        last_evaluation: the latest, if there was one.
    """

    def __init__(self, held: Held, client: redis.Redis, *, first: int, lease_ms: int) -> None:
        self.request = ""
        self.last_evaluation: Evaluation | None = None
        self._held, self._client, self._lease_ms = held, client, lease_ms
        self._lock = threading.Condition()
        self._first, self._rows = first, list[Row]()
        self._evaluations = list[Evaluation]()
        self._error: Exception | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._write_all, name="reporter", daemon=True)

    def row(self, step: int, row: Row) -> None:
        """Take the row of *step*, which must be the one after the last."""
        with self._lock:
            assert step == self._first + len(self._rows), (step, self._first, len(self._rows))
            self._rows.append(row)
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
        with self._lock:
            self._lock.wait_for(
                lambda: self._error or not (self._rows or self._evaluations), timeout=PATIENCE_S
            )
        self.check()

    def patiently(self, call: Call[T]) -> T:
        """Run *call*, waiting for a store that is away."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return send(self._client, call)
            except (redis.ConnectionError, redis.TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise
                log.warning("%s: the store is away: %s", self._held.job_id, error)
                time.sleep(RETRY_S)

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
        self._thread.join()

    def _write_all(self) -> None:
        try:
            while self._wait_for_work():
                self._write_rows()
                self._write_evaluations()
                time.sleep(PAUSE_S)
        except (Fenced, Gap, ReplayDiffers, redis.RedisError) as error:
            with self._lock:
                self._error = error
                self._lock.notify_all()

    def _wait_for_work(self) -> bool:
        with self._lock:
            self._lock.wait_for(lambda: self._rows or self._evaluations or self._closing)
            return bool(self._rows or self._evaluations)

    def _write_rows(self) -> None:
        with self._lock:
            first, rows = self._first, list(self._rows)
        if not rows:
            return
        call = functions.append(
            self._held, first=first, width=WIDTH, data=pack(rows), lease_ms=self._lease_ms
        )
        self.request = self.patiently(call)
        with self._lock:
            self._first += len(rows)
            del self._rows[: len(rows)]
            self._lock.notify_all()

    def _write_evaluations(self) -> None:
        while True:
            with self._lock:
                if not self._evaluations:
                    return
                report = self._evaluations[0]
            data = {"step": report.step, "loss": report.loss, "accuracy": report.accuracy}
            self.patiently(functions.evaluated(self._held, step=report.step, data=data))
            with self._lock:
                del self._evaluations[0]
                self._lock.notify_all()
