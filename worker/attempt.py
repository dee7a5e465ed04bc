"""One attempt at a job: begin or continue, train, report, and end it one way or another."""

from __future__ import annotations

import logging
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path

import redis
import torch

from jobs import functions
from jobs.artifacts import MODEL, Storage
from jobs.functions import Fenced, Held, ReplayDiffers, send
from jobs.keys import JOB
from jobs.record import Record
from jobs.settings import Settings
from jobs.spec.states import Reason
from optcore.data.examples import DatasetMissing
from optcore.spec.duration import steps_in
from optcore.training import checkpoint
from optcore.training.checkpoint import CheckpointUnusable
from optcore.training.digest import digest
from optcore.training.loop import train
from optcore.training.reports import Diverged, Evaluation, Progress, StepReport
from optcore.training.run import Run
from worker.lease import Lease
from worker.reporter import Reporter

log = logging.getLogger(__name__)

Outcome = str
"""``succeeded``, ``released``, ``fenced``, or ``failed: REASON``."""


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
        drain: set when the worker is to leave.
    """

    client: redis.Redis
    storage: Storage
    settings: Settings
    device: str
    drain: threading.Event


class Attempt:
    """One claimed job, from here to wherever this worker gets with it."""

    def __init__(self, held: Held, tools: Tools) -> None:
        self._held, self._tools = held, tools
        self._client, self._storage = tools.client, tools.storage

    def train(self) -> Outcome:
        """See the job through; return what became of it."""
        with Lease(self._held, self._client, lease_s=self._tools.settings.lease_s) as lease:
            try:
                return self._train(lease)
            except Fenced:
                raise
            except DatasetMissing as error:
                return self._fail(Reason.DATASET_MISSING, str(error))
            except Diverged as error:
                return self._fail(Reason.DIVERGED, str(error))
            except ReplayDiffers as error:
                return self._fail(Reason.REPLAY_DIFFERS, str(error))
            except (torch.OutOfMemoryError, MemoryError) as error:
                return self._fail(Reason.OUT_OF_MEMORY, str(error).splitlines()[0])
            except redis.RedisError:
                raise  # the store's trouble, not the job's: the lease will tell
            except Exception as error:  # the one place: whatever it is, the client hears of it
                log.exception("%s failed", self._held.job_id)
                where = traceback.extract_tb(error.__traceback__)[-1]
                place = f"{Path(where.filename).name}:{where.lineno}"
                return self._fail(Reason.ERROR, f"{type(error).__name__}: {error} ({place})")

    def _train(self, lease: Lease) -> Outcome:
        record = self._record()
        folder = self._storage.attempt_folder(
            record.tenant, record.id, record.attempt, self._held.token
        )
        run = self._begin(record)
        lease_ms = int(self._tools.settings.lease_s * 1000)
        with Reporter(self._held, self._client, first=run.t, lease_ms=lease_ms) as reporter:
            try:
                self._follow(run, reporter, lease, folder)
            except Stop as stop:
                if stop.save:
                    self._save(run, reporter, lease, folder)
                reporter.patiently(functions.release(self._held, why=stop.why, crashed=False))
                return "released"
            lease.phase("checkpoint")
            reporter.flush()
            self._finish(run, reporter, folder)
        return "succeeded"

    def _record(self) -> Record:
        key = JOB % (self._held.tenant, self._held.job_id)
        raw = self._client.hgetall(key)
        if not raw:
            raise Fenced
        return Record.from_hash(raw)  # type: ignore[arg-type]

    def _begin(self, record: Record) -> Run:
        """Return the run where its last usable checkpoint left it, or at its start."""
        spec = record.spec.run_spec()
        run = Run.start(spec, data_dir=self._tools.settings.data_dir, device=self._tools.device)
        if record.checkpoint is None:
            return run
        path, sha256 = record.checkpoint
        try:
            checkpoint.restore(run, self._storage.path(path), sha256=sha256)
        except CheckpointUnusable as error:
            note = {"path": path, "error": str(error)}
            send(self._client, functions.noted(self._held, kind="checkpoint_refused", data=note))
            return Run.start(
                spec, data_dir=self._tools.settings.data_dir, device=self._tools.device
            )
        return run

    def _follow(self, run: Run, reporter: Reporter, lease: Lease, folder: Path) -> None:
        """Train to the end, or raise `Stop` where somebody wants it to end."""
        interval = run.spec.training.checkpoint_every
        every = steps_in(interval, run.spec.steps_per_epoch) if interval is not None else 0
        lease.phase("step")
        for report in train(run):
            match report:
                case StepReport():
                    reporter.row(report.step, (report.lr, report.loss))
                case Evaluation():
                    reporter.evaluation(report)
                case Progress():
                    pass
            lease.beat()
            if not run.finished:
                self._heed(reporter)
                if isinstance(report, StepReport) and every and run.t % every == 0:
                    self._save(run, reporter, lease, folder)

    def _heed(self, reporter: Reporter) -> None:
        """Raise `Stop` if the client or the worker wants the run to end here."""
        reporter.check()
        wish = reporter.request
        if wish == "kill":
            raise Stop("killed", save=False)
        if wish:
            raise Stop(f"{wish} requested", save=True)
        if self._tools.drain.is_set():
            raise Stop("the worker leaves", save=True)

    def _save(self, run: Run, reporter: Reporter, lease: Lease, folder: Path) -> None:
        """Make a checkpoint that the record points to: rows first, then files, then the pointer."""
        lease.phase("checkpoint")
        reporter.flush()
        saved = checkpoint.save(run, folder / "checkpoints")
        call = functions.checkpointed(
            self._held,
            step=saved.step,
            path=self._storage.relative(saved.path),
            sha256=saved.sha256,
            digest=saved.digest,
        )
        reporter.patiently(call)
        lease.phase("step")

    def _finish(self, run: Run, reporter: Reporter, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / MODEL
        checkpoint.write_durably(path, checkpoint.model_bytes(run))
        last = reporter.last_evaluation
        assert last is not None  # the loop ends with one
        call = functions.finish(
            self._held,
            rows=run.t,
            digest=digest(run.tensors()),
            result={"test_loss": last.loss, "test_accuracy": last.accuracy},
            artifacts={MODEL: self._storage.described(path)},
        )
        reporter.patiently(call)

    def _fail(self, reason: Reason, detail: str) -> Outcome:
        send(self._client, functions.fail(self._held, reason=reason, detail=detail))
        return f"failed: {reason}"
