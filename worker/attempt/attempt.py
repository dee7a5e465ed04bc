"""One attempt at a job: begin or continue, train, report, and end it one way or another."""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import redis

from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.checkpoint import Checkpoint
from optcore.training.checkpoints.digest import digest
from optcore.training.checkpoints.files import write_durably
from optcore.training.loop import steps_alone, train
from optcore.training.reports import Evaluation, StepReport
from optcore.training.run import Run
from optserve.contract.states import Reason
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.record import BestPointer, Record
from store.redis.functions import Fenced
from store.settings import Settings
from store.storage.artifacts import BEST, EMA, MODEL, Storage
from worker.attempt.disk import Disk, MachineFault
from worker.attempt.failures import Fault, fault_of, reason_of
from worker.attempt.lease import Lease
from worker.attempt.restore import Beginning, OtherBits
from worker.processes.trainers import FAULT
from worker.reporting import journal
from worker.reporting.cadence import Pace
from worker.reporting.journal import Journal
from worker.reporting.outbox import measured
from worker.reporting.planned import Plan
from worker.reporting.reporter import PAUSE_S, Reporter
from worker.reporting.retry import Patience

log = logging.getLogger(__name__)

LOOK_S = PAUSE_S
"""Seconds between two looks at what is asked, of a loop whose steps are shorter. At each there are
rows to send."""

MANY = 32
"""Reports that should not wait for the next look to be packed: they would leave the caches."""

Outcome = str
"""``succeeded``, ``released``, ``fenced``, ``failed: REASON``, or ``fault: WHY``."""


class Stop(Exception):
    """The run is to end here; *why* goes into the history."""

    def __init__(self, why: str, *, save: bool) -> None:
        super().__init__(why)
        self.why, self.save = why, save


@dataclass(frozen=True)
class Tools:
    """
    What every attempt of a trainer works with.

    Attributes:
        client: of the store; does not retry by itself.
        storage: where checkpoints and artifacts go.
        settings: of the service.
        device: cpu or cuda.
        leaving: set when the worker is to leave.
    """

    client: redis.Redis
    storage: Storage
    settings: Settings
    device: str
    leaving: threading.Event


class Attempt:
    """
    One claimed job, from here to wherever this worker gets with it.

    Attributes:
        bells: devices whose idle workers should hear that the job is there to be taken.
    """

    def __init__(self, held: Claim, tools: Tools) -> None:
        self.bells: list[str] = []
        self._held, self._tools = held, tools
        self._storage = tools.storage
        self._saved = 0
        self._best: Path | None = None
        self._patience = Patience(tools.client, tools.leaving)

    def train(self) -> Outcome:
        """See the job through; return what became of it."""
        tools = self._tools
        with Lease(self._held, tools.client, tools.settings, tools.leaving) as lease:
            try:
                return self._train(lease)
            except Fenced:
                raise
            except redis.RedisError:
                raise  # the store's trouble, not the job's: the lease will tell
            except Exception as error:  # the one place: whatever it is, the client hears of it
                lease.phase("store")
                lease_ms = int(self._tools.settings.lease_s * 1000)
                self._patience.send(calls.renew(self._held, lease_ms=lease_ms))  # if it is ours
                fault = fault_of(error, tools.settings)
                if fault is not None:
                    return self._blame_machine(fault, lease)
                reason, detail = reason_of(error)
                if reason is Reason.DIVERGED:
                    kept = f"the last checkpoint is of step {self._saved}"
                    detail += f"; {kept if self._saved else 'there is no checkpoint'}"
                if reason is Reason.ERROR:
                    log.exception("%s failed", self._held.job_id)
                self._patience.send(calls.fail(self._held, reason=reason, detail=detail))
                return f"failed: {reason}"

    def follow(self, run: Run, reporter: Reporter, lease: Lease, folder: Path) -> None:
        """Train to the end, or raise `Stop` where somebody wants it to end."""
        lease.phase("step")
        pace, save_at = Pace(run.row, LOOK_S), run.next_checkpoint
        left, seen = 1.0, run.row
        reports = train(run)
        for report in reports:
            if isinstance(report, StepReport):
                reporter.take(report)
                left -= 1
                if left > 0:  # handed over in C: a step may take 0.1 ms
                    more = int(min(left, steps_alone(run, report.step)))
                    reporter.take_all(cast("Iterator[StepReport]", islice(reports, more)))
                    left -= more
                # If not settled, more steps were made already: their rows go together.
                if (left > 0 and not run.interrupt.is_set()) or not run.settled:
                    continue
            elif isinstance(report, Evaluation):
                reporter.news.evaluation(report)
                if report.best and run.is_finite():
                    self._keep_best(run, reporter, lease, folder)
            left, asked = pace.ask(run.row), run.interrupt.is_set()
            if not left or asked or run.row >= save_at or isinstance(report, Evaluation):
                reporter.post()
                lease.beat(steps=run.row - seen, renewed_at=reporter.renewed_at)
                seen = run.row
                over = run.finished and run.evaluated == run.row  # all that is left is to finish
                if run.settled and not over:
                    run.interrupt.clear()
                    self._look(reporter, lease, folder)
                    # While the store is away, training goes on.
                    if run.row >= save_at and not run.finished and reporter.stored():
                        self._save(run, reporter, lease, folder)
                        save_at = run.next_checkpoint
                left = pace.begin()
            elif left >= MANY:
                reporter.pack()
            if run.row < save_at:
                left = min(left, save_at - run.row)

    def _look(self, reporter: Reporter, lease: Lease, folder: Path) -> None:
        """See to what is asked of the loop: that it ends, that it waits, that files go."""
        self._sweep(folder, reporter.news.needed())
        self._heed(reporter, lease)
        if reporter.full:
            self._wait_for_room(reporter, lease)

    def _train(self, lease: Lease) -> Outcome:
        lease.phase("store")
        record = self._patience.send(calls.look(self._held.tenant, self._held.job_id))
        if record is None:
            raise Fenced
        folder = self._storage.attempt_folder(
            record.tenant, record.id, record.attempt, self._held.token
        )
        settings, device = self._tools.settings, self._tools.device
        patience_s = settings.fault_patience_s
        disk = Disk(self._storage, self._held, self._patience, lease, patience_s)
        beginning = Beginning(self._held, self._patience, disk, self._storage, settings, device)
        try:
            run = beginning.run(record, lease)
        except OtherBits as error:
            lease.phase("store")
            return self._release(str(error))
        run.interrupt = lease.interrupt
        lease_ms = int(settings.lease_s * 1000)
        plan = Plan(run.spec)
        self._saved, self._best = run.row, self._best_of(record, run)

        def begin_journal() -> Journal:
            for old in folder.parent.glob(f"*/{journal.NAME}"):
                old.unlink(missing_ok=True)
            return Journal(folder / journal.NAME, first=run.row, width=plan.series.width)

        with (
            disk.do(begin_journal, phase="setup") as kept,
            Reporter(
                self._held,
                self._patience,
                plan,
                first=run.row,
                lease_ms=lease_ms,
                journal=kept,
                most_bytes=settings.max_unstored_bytes,
                interrupt=lease.interrupt,
            ) as reporter,
        ):
            try:
                self.follow(run, reporter, lease, folder)
                self._finish(run, reporter, lease, folder)
            except Stop as stop:
                if stop.save:
                    self._save_if_there_is_room(run, reporter, lease, folder)
                lease.phase("store")
                return self._release(stop.why)
        return "succeeded"

    def _save_if_there_is_room(
        self, run: Run, reporter: Reporter, lease: Lease, folder: Path
    ) -> None:
        """Save the run that is to end here; if that cannot be, it goes on from what there is."""
        with contextlib.suppress(Stop, MachineFault):
            self._save(run, reporter, lease, folder)

    def _disk(self, reporter: Reporter, lease: Lease) -> Disk:
        def give_up() -> None:
            try:
                self._heed(reporter, lease)
            except Stop as stop:
                raise Stop(f"{stop.why}; nothing could be written", save=False) from None

        patience_s = self._tools.settings.fault_patience_s
        return Disk(self._storage, self._held, self._patience, lease, patience_s, give_up)

    def _best_of(self, record: Record, run: Run) -> Path | None:
        """Return the network of the best state, if the run that goes on knows of it."""
        best = record.best
        if best is None or run.kept is None or run.kept.step != best.step:
            return None
        return self._storage.path(best.path).parents[1] / BEST

    def _wait_for_room(self, reporter: Reporter, lease: Lease) -> None:
        """Let the loop wait until more of its rows are stored; heed what is asked meanwhile."""
        lease.phase("store")
        while not reporter.room():
            self._heed(reporter, lease)
        lease.phase("step")

    def _heed(self, reporter: Reporter, lease: Lease) -> None:
        """Raise `Stop` if the client or the worker wants the run to end here."""
        reporter.check()
        wish = reporter.request or lease.request
        if wish:
            raise _stop(wish)
        if self._tools.leaving.is_set():
            raise Stop("the worker leaves", save=True)

    def _save(self, run: Run, reporter: Reporter, lease: Lease, folder: Path) -> None:
        """Make a checkpoint that the record points to: rows first, then files, then the pointer."""
        if run.row == self._saved or not run.is_finite():
            return  # it is there; or nobody would want to go on from here
        lease.phase("store")
        reporter.flush()
        self._sweep(folder, reporter.news.needed())  # now: it does not name the one to be written
        saved = self._written(run, reporter, lease, folder / "checkpoints")
        lease.phase("store")
        needed = reporter.send(
            calls.checkpointed(
                self._held,
                step=saved.step,
                path=self._storage.relative(saved.path),
                sha256=saved.sha256,
                digest=saved.digest,
            )
        )
        self._saved = saved.step
        self._sweep(folder, needed)
        lease.phase("step")

    def _sweep(self, folder: Path, needed: Sequence[str] | None) -> None:
        """Remove what was kept and is no longer *needed*, if the store has just said what is."""
        if needed is None:
            return
        try:
            self._storage.sweep_checkpoints(folder, needed)
        except OSError as error:  # the next sweep, or the API's housekeeping, will
            log.warning("%s: what is not needed stays for now: %s", self._held.job_id, error)

    def _keep_best(self, run: Run, reporter: Reporter, lease: Lease, folder: Path) -> None:
        """
        Keep the run as it is, for being the best so far, and its network as an artifact.

        The record hears of it as it hears of rows: nobody waits for a store that is away.
        """
        kept = run.kept
        assert kept is not None
        assert kept.value is not None
        unheard = reporter.news.unheard()
        if unheard is not None:  # few are kept, and the one of the record must be among them
            shutil.rmtree(self._storage.path(unheard.path), ignore_errors=True)
        saved = self._written(run, reporter, lease, folder / "best")
        of_ema = kept.metric.startswith("ema_")
        content = checkpoint.ema_bytes(run) if of_ema else checkpoint.model_bytes(run)
        self._best = folder / BEST
        target = self._best
        self._disk(reporter, lease).do(lambda: write_durably(target, content))
        path = self._storage.relative(saved.path)
        reporter.news.best(BestPointer(saved.step, path, saved.sha256, kept.metric, kept.value))
        lease.phase("step")

    def _written(self, run: Run, reporter: Reporter, lease: Lease, folder: Path) -> Checkpoint:
        """Return a checkpoint of the run, once it can be written."""
        return self._disk(reporter, lease).do(lambda: checkpoint.save(run, folder))

    def _finish(self, run: Run, reporter: Reporter, lease: Lease, folder: Path) -> None:
        lease.phase("store")
        reporter.flush()
        self._sweep(folder, reporter.news.needed())
        lease.phase("checkpoint")
        files = {MODEL: checkpoint.model_bytes(run)}
        if run.ema is not None:
            files[EMA] = checkpoint.ema_bytes(run)

        def write() -> None:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                write_durably(folder / name, content)

        disk = self._disk(reporter, lease)
        disk.do(write)
        paths = [folder / name for name in files] + ([self._best] if self._best else [])
        artifacts = disk.do(lambda: {path.name: self._storage.described(path) for path in paths})
        call = calls.finish(
            self._held,
            rows=run.row,
            digest=digest(run.tensors()),
            result=_result(reporter),
            artifacts=artifacts,
            ended="early_stopped" if run.stopped else "completed",
        )
        lease.phase("store")
        reporter.send(call)

    def _release(self, why: str) -> Outcome:
        self.bells = self._patience.send(calls.release(self._held, why=why)).bells
        return "released"

    def _blame_machine(self, fault: Fault, lease: Lease) -> Outcome:
        """Give the job back for another machine: nothing is held against it."""
        log.warning("%s: not on this machine: %s", self._held.job_id, fault.why)
        lease.phase("store")
        why = f"{socket.gethostname()}: {fault.why}"
        call = calls.release(self._held, why=why, cause=fault.cause)
        self.bells = self._patience.send(call).bells
        return f"{FAULT}{fault.why}"


def _stop(wish: str) -> Stop:
    """Return how the run ends for what the store wants."""
    if wish == "kill":
        return Stop("killed", save=False)
    if wish == "timeout":  # where it is released to, the store decides: it keeps the time
        return Stop("its time is over", save=True)
    return Stop(f"{wish} requested", save=True)


def _result(reporter: Reporter) -> dict[str, Any]:
    """Return what the last evaluation found."""
    last = reporter.news.last_evaluation
    assert last is not None  # the loop ends with one
    found = measured(last)
    del found["step"]
    return {"test_loss": found.pop("loss"), "test_accuracy": found.pop("accuracy"), **found}
