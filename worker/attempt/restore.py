"""
Sets up the run of an attempt, from the job's last usable checkpoint.

A job without a usable checkpoint starts at step 0, where a clone has the state of another job.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

import torch

from optcore.files.checkpoint_files import CheckpointUnusable
from optcore.spec.run import RunSpec
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.begin import begin_from
from optcore.training.fingerprint import fingerprint, machine_facts
from optcore.training.run import Run
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.pointers import Pointer
from store.jobs.record import Record
from worker.attempt.disk import Disk, MachineFault
from worker.attempt.lease import Lease
from worker.attempt.session import Tools
from worker.reporting.retry import RetryingSender

log = logging.getLogger(__name__)


class OtherBits(Exception):
    """Another worker must continue the job: results of this worker might differ in their bits."""


class ParentUnusable(Exception):
    """The state that a clone starts from is missing or damaged, or does not fit the clone's run."""


@dataclass(frozen=True)
class Restorer:
    """
    Sets up the run of a claimed job.

    Attributes:
        claim: the id of the job, and the token with which this worker claimed it.
        record: the job's record, as it was when the job was claimed.
        tools: the trainer's client, storage and settings.
        sender: sends calls to Redis, and retries them.
        disk: reads and writes files in the storage, and retries.
        lease: renews the lease on the job.
    """

    claim: Claim
    record: Record
    tools: Tools
    sender: RetryingSender
    disk: Disk
    lease: Lease

    def run(self) -> Run:
        """
        Return the run, ready for its next step.

        The run resumes from the last checkpoint that can be used. A damaged checkpoint is removed
        from the job's record. If a checkpoint cannot be read, this method retries.

        A checkpoint is skipped if its files have been missing for a long time (`missing_after_s`)
        although the storage works. Such a checkpoint stays in the record.

        Raises:
            OtherBits: the job must continue bit for bit (`training.exact`), but its rows were
                computed with another fingerprint (other hardware or library versions).
            DatasetMissing: the data directory does not contain the dataset.
            ParentUnusable: the job is a clone, and the state that it starts from cannot be used.
            MachineFault: files cannot be read on this machine.
        """
        record = self.record
        here = fingerprint(machine_facts(torch.device(self.tools.device)))
        if record.fingerprint == here:
            # Sums depend on the number of threads: for equal results, use the first attempt's.
            torch.set_num_threads(int(record.facts["threads"]))
        pointers = record.checkpoints[::-1]
        run = self._start() if pointers else self._first()
        bits_from = self._begun(run)
        for left, pointer in zip(range(len(pointers))[::-1], pointers, strict=True):
            try:
                self._restore(run, pointer, exact=pointer.step > bits_from)
            except CheckpointUnusable as error:
                log.warning("%s: %s", record.id, error)
                with self.lease.phase("store"):
                    self.sender.send(calls.refused(self.claim, path=pointer.path, why=str(error)))
                # A new run, since this one may have been restored in part.
                run = self._start() if left else self._first()
            except MachineFault as fault:
                if not self._is_lost(fault):
                    raise
                log.warning("%s: a checkpoint is skipped: %s", record.id, fault)
                step = pointers[len(pointers) - left].step if left else 0
                with self.lease.phase("store"):
                    self.sender.send(
                        calls.passed_over(self.claim, path=pointer.path, why=str(fault), step=step)
                    )
                run = run if left else self._first()
            else:
                return run
        return run

    def _begun(self, run: Run) -> int:
        """
        Record the hardware and libraries that compute the run, and their digest, the fingerprint.

        Return the number of the first row that was, or will be, computed with this fingerprint.
        """
        facts = run.facts()
        with self.lease.phase("store"):
            bits_from = self.sender.send(
                calls.begun(self.claim, fingerprint=fingerprint(facts), facts=facts)
            )
        if bits_from is None:
            raise OtherBits(
                "this worker cannot continue the job bit for bit: the fingerprint of the worker's "
                f"hardware and libraries is {fingerprint(facts)}, but that of the job's rows is "
                f"{self.record.fingerprint}"
            )
        return bits_from

    def _restore(self, run: Run, pointer: Pointer, *, exact: bool) -> None:
        storage, path, sha256 = self.tools.storage, pointer.path, pointer.sha256
        self.disk.read(lambda: checkpoint.restore(run, storage, path, sha256=sha256, exact=exact))

    def _is_lost(self, fault: MachineFault) -> bool:
        """Return whether *fault* comes from a file that has long been missing from the storage."""
        missing = isinstance(fault.__cause__, FileNotFoundError)
        long = self.record.fault_s >= self.tools.settings.missing_after_s
        return missing and self.tools.storage.named and long

    def _first(self) -> Run:
        """Return the run at its first step; a clone starts from the state of its parent."""
        run = self._beginning()
        if self.record.facts:
            # Rows that are computed again, without a checkpoint, are compared with those stored.
            run.adopt(self.record.facts)
        return run

    def _beginning(self) -> Run:
        start = self.record.starting_state
        if start is None:
            return self._start()
        try:
            return self.disk.read(
                lambda: begin_from(
                    self._spec,
                    self.tools.storage,
                    start.path,
                    keep=start.keep,
                    taken=start.weights,
                    data_dir=self.tools.settings.data_dir,
                    device=self.tools.device,
                    sha256=start.sha256,
                    plan=self.record.plan,
                    # Not there if an earlier release accepted the clone.
                    continues="continues" in self.record.fields,
                )
            )
        except CheckpointUnusable as error:
            raise ParentUnusable(f"the clone's starting state cannot be used: {error}") from None
        except MachineFault as fault:
            if not self._is_lost(fault):
                raise
            raise ParentUnusable(f"the clone's starting state is missing: {fault}") from None

    def _start(self) -> Run:
        """Return the run at its first step, with fresh weights."""
        tools = self.tools
        return self.disk.read(
            lambda: Run.start(
                self._spec,
                data_dir=tools.settings.data_dir,
                device=tools.device,
                plan=self.record.plan,
            )
        )

    @cached_property
    def _spec(self) -> RunSpec:
        return self.record.run_spec()
