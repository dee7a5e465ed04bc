"""One attempt at a job: sets up its run, trains it, and ends or releases the job."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from optcore.training.checkpoints.tensor_digest import digest
from optserve.contract.states import Reason
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.record import Record
from store.redis.functions import Fenced
from store.storage.names import attempt_folder
from worker.attempt.best import best_result
from worker.attempt.checkpointer import Checkpointer
from worker.attempt.disk import Disk
from worker.attempt.failures import Fault, fault_of, reason_of
from worker.attempt.lease import Lease
from worker.attempt.memory import PeakMemory
from worker.attempt.packages import require_packages
from worker.attempt.restore import OtherBits, Restorer
from worker.attempt.session import Session, Stop, Tools
from worker.attempt.steps import StepLoop
from worker.processes.trainers import FAULT
from worker.reporting.cadence import Cadence
from worker.reporting.evaluations import result_of
from worker.reporting.journal import Journal
from worker.reporting.planned import LrPlan
from worker.reporting.reporter import Reporter
from worker.reporting.retry import RetryingSender

log = logging.getLogger(__name__)

Outcome = str
"""How an attempt ended: ``succeeded``, ``released``, ``fenced`` (the job was taken from this
worker), ``failed: REASON``, or ``fault: WHY`` (this machine cannot train)."""


class Attempt:
    """
    An attempt to train a claimed job.

    Args:
        claim: the id of the job, and the token with which this worker claimed it. Every write to
            Redis contains the token, and is refused once the job was taken from this worker.
        record: the job's record, as it was when the job was claimed.
        tools: the trainer's client, storage and settings.

    Attributes:
        wakeups: the devices whose idle workers should be told that the job is runnable.
    """

    def __init__(self, claim: Claim, record: Record, tools: Tools) -> None:
        self.wakeups: list[str] = []
        self._claim, self._record, self._tools = claim, record, tools
        self._sender = RetryingSender(tools.client, tools.leaving)
        self._lease_ms = int(tools.settings.lease_s * 1000)
        self._checkpointer: Checkpointer | None = None
        self._memory = PeakMemory(tools.device)

    def train(self) -> Outcome:
        """
        Train the job; return the outcome of the attempt.

        Raises:
            Fenced: the job was taken from this worker.
            RedisError: Redis was unavailable for too long; the lease will expire.
        """
        tools = self._tools
        with Lease(self._claim, tools.client, tools.settings, tools.leaving) as lease:
            try:
                return self._train(lease)
            except (Fenced, redis.RedisError):
                raise
            except Exception as error:  # the only such place: any error is recorded for the job
                return self._failed(error)

    def _train(self, lease: Lease) -> Outcome:
        require_packages(self._record)
        try:
            with self._session(lease) as session:
                return self._see_through(session)
        except OtherBits as error:
            return self._release(str(error))

    @contextmanager
    def _session(self, lease: Lease) -> Iterator[Session]:
        """Set up the run, its journal and its reporter; yield the session of the attempt."""
        tools, record = self._tools, self._record
        folder = attempt_folder(record.tenant, record.id, record.attempt, self._claim.token)
        retry_for_s = tools.settings.fault_patience_s
        disk = Disk(tools.storage, self._claim, self._sender, lease, retry_for_s)
        with lease.phase("setup"):
            run = Restorer(self._claim, record, tools, self._sender, disk, lease).run()
            run.interrupt = lease.interrupt
            plan = LrPlan(run.spec)
        with (
            Journal(tools.settings.run_dir, first=run.row, width=plan.series.width) as journal,
            Reporter(
                self._claim,
                self._sender,
                plan,
                first=run.row,
                lease_ms=self._lease_ms,
                journal=journal,
                most_bytes=tools.settings.max_unstored_bytes,
                interrupt=lease.interrupt,
                cadence=Cadence(tools.poll_s),
            ) as reporter,
        ):
            yield Session(self._claim, tools, self._sender, lease, run, reporter, folder)

    def _see_through(self, session: Session) -> Outcome:
        """Train the session's run to its end, or until it must stop; return the outcome."""
        self._checkpointer = Checkpointer(session, self._record)
        try:
            StepLoop(session, self._checkpointer).train()
            self._finish(session, self._checkpointer)
        except Stop as stop:
            if stop.save:
                self._checkpointer.save_if_possible()
            return self._release(stop.why)
        return "succeeded"

    def _finish(self, session: Session, checkpointer: Checkpointer) -> None:
        run, reporter = session.run, session.reporter
        reporter.flush()
        checkpointer.delete_unneeded()
        # Kept with the job, so that a clone can continue from its end.
        saved = checkpointer.save()
        with session.lease.phase("checkpoint"):
            artifacts = checkpointer.write_artifacts()
            sha256 = digest(run.tensors()) if saved is None else saved.digest
        last = reporter.outbox.last_evaluation
        assert last is not None  # the loop ends with an evaluation
        result = result_of(last)
        # A run of a release up to 0.2.0 has evaluated the test examples each time.
        if checkpointer.best is not None and not last.former:
            # From here on the run has its best weights: all that is kept of the last was saved.
            result["best"] = best_result(session, checkpointer.best, last)
        reporter.send(
            calls.finish(
                self._claim,
                rows=run.row,
                digest=sha256,
                result={**result, **self._memory_of_the_run()},
                artifacts=artifacts,
                ended="early_stopped" if run.stopped else "completed",
            )
        )

    def _memory_of_the_run(self) -> dict[str, Any]:
        """Return the measured and the planned memory of the run; {} if the job has no plan."""
        plan = self._record.plan
        return {} if plan is None else {"memory": self._memory.compared(plan.memory_bytes)}

    def _failed(self, error: Exception) -> Outcome:
        """Record that *error* ended the attempt; return the outcome."""
        # First, check that the job is still this worker's. If it was taken, that may be the cause
        # of the error, since the next attempt deletes this one's files; then this raises Fenced.
        self._sender.send(calls.renew(self._claim, lease_ms=self._lease_ms))
        fault = fault_of(error, self._tools.settings)
        if fault is not None:
            return self._blame_machine(fault)
        reason, detail = reason_of(error)
        if reason is Reason.DIVERGED:
            step = self._checkpointer.step if self._checkpointer else 0
            last = f"the last checkpoint is from step {step}"
            detail += f"; {last if step else 'there is no checkpoint'}"
        if reason is Reason.ERROR:
            log.exception("%s failed", self._claim.job_id)
        self._sender.send(calls.fail(self._claim, reason=reason, detail=detail))
        return f"failed: {reason}"

    def _release(self, why: str) -> Outcome:
        self.wakeups = self._sender.send(calls.release(self._claim, why=why)).wakeups
        return "released"

    def _blame_machine(self, fault: Fault) -> Outcome:
        """Release the job for another machine, with *fault* as the reason; return the outcome."""
        log.warning("%s cannot be trained on this machine: %s", self._claim.job_id, fault.why)
        why = f"{socket.gethostname()}: {fault.why}"
        call = calls.release(self._claim, why=why, cause=fault.cause)
        self.wakeups = self._sender.send(call).wakeups
        return f"{FAULT}{fault.why}"
