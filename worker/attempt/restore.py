"""
How an attempt begins: where its last good checkpoint left the job, or at its first step.

A clone's first step begins with the weights of another job.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch

from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.begin import begin_from
from optcore.training.checkpoints.files import CheckpointUnusable
from optcore.training.fingerprint import fingerprint, machine_facts
from optcore.training.run import Run
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.record import Pointer, Record
from store.settings import Settings
from store.storage.artifacts import Storage
from worker.attempt.disk import Disk, MachineFault
from worker.attempt.lease import Lease
from worker.reporting.retry import Patience

log = logging.getLogger(__name__)


class OtherBits(Exception):
    """The job was begun where bits come out differently; another worker must go on with it."""


class ParentUnusable(Exception):
    """What a clone should begin with is damaged, or does not fit its run."""


@dataclass(frozen=True)
class Beginning:
    """
    What it takes to begin.

    Attributes:
        held: the job.
        patience: the way to the store.
        disk: the way to files.
        storage: where checkpoints lie.
        settings: of the service.
        device: cpu or cuda.
    """

    held: Claim
    patience: Patience
    disk: Disk
    storage: Storage
    settings: Settings
    device: str

    def run(self, record: Record, lease: Lease) -> Run:
        """
        Return the run of *record*, ready for its next step.

        Checkpoints that were read and are damaged are reported and forgotten, from the last one
        back. One that cannot be read now is waited for; one that has long been missing from a
        storage that is well is passed over, and nothing is forgotten.

        Args:
            record: of the job.
            lease: is told what is waited for.

        Raises:
            OtherBits: its rows were computed where bits come out differently.
            DatasetMissing: the data directory does not hold the dataset.
            ParentUnusable: it is a clone, and its copy of what to begin with is of no use.
            MachineFault: files cannot be read here.
        """
        here = fingerprint(machine_facts(torch.device(self.device)))
        if record.fingerprint == here:
            torch.set_num_threads(int(record.facts["threads"]))
        pointers = record.checkpoints[::-1]
        run = self._start(record) if pointers else self._first(record)
        facts = run.facts()
        lease.phase("store")
        bits_from = self.patience.send(
            calls.begun(self.held, fingerprint=fingerprint(facts), facts=facts)
        )
        if bits_from is None:
            raise OtherBits(f"its rows were computed by {record.fingerprint}")
        for left, pointer in zip(range(len(pointers))[::-1], pointers, strict=True):
            try:
                self._restore(run, pointer, exact=pointer.step > bits_from)
            except CheckpointUnusable as error:
                log.warning("%s: %s", record.id, error)
                lease.phase("store")
                self.patience.send(calls.refused(self.held, path=pointer.path, why=str(error)))
                # Whatever was restored of it is not to be trusted.
                run = self._start(record) if left else self._first(record)
            except MachineFault as fault:
                if not self._is_lost(record, fault):
                    raise
                log.warning("%s: a checkpoint is passed over: %s", record.id, fault)
                lease.phase("store")
                step = pointers[len(pointers) - left].step if left else 0
                self.patience.send(
                    calls.passed_over(self.held, path=pointer.path, why=str(fault), step=step)
                )
                run = run if left else self._first(record)
            else:
                return run
        return run

    def _restore(self, run: Run, pointer: Pointer, *, exact: bool) -> None:
        path = self.storage.path(pointer.path)
        self.disk.do(
            lambda: checkpoint.restore(run, path, sha256=pointer.sha256, exact=exact),
            phase="setup",
        )

    def _is_lost(self, record: Record, fault: MachineFault) -> bool:
        """Return whether what is missing has long been so, from a storage that is there."""
        missing = isinstance(fault.__cause__, FileNotFoundError)
        return missing and self.storage.named and record.fault_s >= self.settings.missing_after_s

    def _first(self, record: Record) -> Run:
        """Return the run at its first step: with fresh weights, or with those of its parent."""
        inherited = record.inherited
        if inherited is None:
            return self._start(record)
        try:
            return self.disk.do(
                lambda: begin_from(
                    record.spec.run_spec(),
                    self.storage.path(inherited.path),
                    keep=inherited.keep,
                    data_dir=self.settings.data_dir,
                    device=self.device,
                    sha256=inherited.sha256,
                ),
                phase="setup",
            )
        except CheckpointUnusable as error:
            raise ParentUnusable(f"what it should begin with is of no use: {error}") from None
        except MachineFault as fault:
            if not self._is_lost(record, fault):
                raise
            raise ParentUnusable(f"what it should begin with is missing: {fault}") from None

    def _start(self, record: Record) -> Run:
        spec, settings = record.spec.run_spec(), self.settings
        return self.disk.do(
            lambda: Run.start(spec, data_dir=settings.data_dir, device=self.device), phase="setup"
        )
