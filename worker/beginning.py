"""
How an attempt begins: where its last good checkpoint left the job, or at its first step.

A clone's first step begins with the weights of another job.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch

from jobs import calls
from jobs.artifacts import Storage
from jobs.calls import Held
from jobs.record import Record
from jobs.settings import Settings
from optcore.training import checkpoint
from optcore.training.begin import begin_from
from optcore.training.files import CheckpointUnusable
from optcore.training.fingerprint import fingerprint, machine_facts
from optcore.training.run import Run
from worker.lease import Lease
from worker.patience import Patience

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
        storage: where checkpoints lie.
        settings: of the service.
        device: cpu or cuda.
    """

    held: Held
    patience: Patience
    storage: Storage
    settings: Settings
    device: str

    def run(self, record: Record, lease: Lease) -> Run:
        """
        Return the run of *record*, ready for its next step.

        Checkpoints that cannot be used are reported and forgotten, from the last one back.

        Args:
            record: of the job.
            lease: is told what is waited for.

        Raises:
            OtherBits: its rows were computed where bits come out differently.
            DatasetMissing: the data directory does not hold the dataset.
            ParentUnusable: it is a clone, and its copy of what to begin with is of no use.
        """
        here = fingerprint(machine_facts(torch.device(self.device)))
        if record.fingerprint == here:
            torch.set_num_threads(int(record.facts["threads"]))
        lease.phase("setup")
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
            lease.phase("setup")
            try:
                path = self.storage.path(pointer.path)
                exact = pointer.step > bits_from
                checkpoint.restore(run, path, sha256=pointer.sha256, exact=exact)
            except CheckpointUnusable as error:
                log.warning("%s: %s", record.id, error)
                lease.phase("store")
                self.patience.send(calls.refused(self.held, path=pointer.path, why=str(error)))
                lease.phase("setup")
                # Whatever was restored of it is not to be trusted.
                run = self._start(record) if left else self._first(record)
            else:
                return run
        return run

    def _first(self, record: Record) -> Run:
        """Return the run at its first step: with fresh weights, or with those of its parent."""
        inherited = record.inherited
        if inherited is None:
            return self._start(record)
        try:
            return begin_from(
                record.spec.run_spec(),
                self.storage.path(inherited.path),
                keep=inherited.keep,
                data_dir=self.settings.data_dir,
                device=self.device,
                sha256=inherited.sha256,
            )
        except CheckpointUnusable as error:
            raise ParentUnusable(f"what it should begin with is of no use: {error}") from None

    def _start(self, record: Record) -> Run:
        return Run.start(
            record.spec.run_spec(), data_dir=self.settings.data_dir, device=self.device
        )
