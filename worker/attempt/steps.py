"""The training loop of an attempt, which sends rows and checks for requests between its steps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import cast

from optcore.training.loop import steps_alone
from optcore.training.reports import Evaluation, StepReport
from worker.attempt.checkpointer import Checkpointer
from worker.attempt.session import Session

PACK_FROM = 32
"""If at least this many steps are left until the next poll, reports are packed at once, because
they would have left the processor's caches by the time of the poll."""


class StepLoop:
    """
    Trains the run of a session to its end.

    Args:
        session: the session with the run.
        checkpointer: writes the files of the run, such as checkpoints.
    """

    def __init__(self, session: Session, checkpointer: Checkpointer) -> None:
        self._session, self._checkpointer = session, checkpointer
        self._run, self._reporter = session.run, session.reporter
        self._save_at = session.run.next_checkpoint
        self._polled_row = session.run.row

    def train(self) -> None:
        """
        Train the run to its last step and the evaluation after it.

        Raises:
            Stop: the run must stop before its last step.
        """
        with self._session.lease.phase("step"):
            self._train()

    def _train(self) -> None:
        run, reporter, cadence = self._run, self._reporter, self._reporter.cadence
        cadence.start(run.row)
        left = 1.0  # steps to make before the next read of the clock
        reports = self._session.tools.train(run)
        for report in reports:
            if isinstance(report, StepReport):
                reporter.take(report)
                left -= 1
                if left > 0:  # `extend` in C takes these reports: a step may take only 0.1 ms
                    more = int(min(left, steps_alone(run, report.step)))
                    reporter.take_all(cast("Iterator[StepReport]", islice(reports, more)))
                    left -= more
                # A run that is not settled has made further steps: their rows are sent together.
                if (left > 0 and not run.interrupt.is_set()) or not run.settled:
                    continue
            elif isinstance(report, Evaluation):
                reporter.outbox.add_evaluation(report)
                if report.best and run.is_finite():
                    self._checkpointer.save_best()
            left, requested = cadence.steps_left(run.row), run.interrupt.is_set()
            due = not left or requested or run.row >= self._save_at
            if due or isinstance(report, Evaluation):
                self._poll()
                left = cadence.begin_period()
            elif left >= PACK_FROM:
                reporter.pack()
            if run.row < self._save_at:
                left = min(left, self._save_at - run.row)

    def _poll(self) -> None:
        """Send rows, report progress to the lease, check for requests, and save when due."""
        run, reporter = self._run, self._reporter
        reporter.send_rows()
        self._session.lease.beat(steps=run.row - self._polled_row, renewed_at=reporter.renewed_at)
        self._polled_row = run.row
        if not run.settled or (run.finished and run.evaluated == run.row):
            return  # the tensors belong to a later step; or only the end of the job is left
        run.interrupt.clear()
        self._checkpointer.delete_unneeded()
        self._session.check_requests()
        if reporter.saturated:
            self._session.wait_for_space()
        # Only once all rows are stored: while Redis is unavailable, training continues without
        # checkpoints.
        if run.row >= self._save_at and not run.finished and reporter.all_stored():
            self._checkpointer.save()
            self._save_at = run.next_checkpoint
