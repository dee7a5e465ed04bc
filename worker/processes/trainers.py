"""
Manages a worker's trainer process, which is kept ready for the next job.

A trainer is forked before there is a job, from a process that has already done the slow imports. It
trains one job after another. If an attempt may have left something that affects the next job, the
trainer is replaced.

Processes are started only from the worker's main thread, because the kernel ends a process together
with the thread that started it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from store.jobs.calls import Claim
from store.jobs.record import Record
from worker.processes.forks import ANSWER_S, Fork, ForkServer, ServerDied

log = logging.getLogger(__name__)

SPIN_COUNT = "2000"
"""
Default for GOMP_SPINCOUNT: how often a waiting OpenMP thread of torch spins before it sleeps. While
anything else runs on the machine, spinning threads hold the core that the last thread needs;
threads that sleep at once are slow on an idle machine (docs/decisions/0005).
"""
WAITING = frozenset({"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"})
"""Environment variables that say how threads wait; if either is set, `SPIN_COUNT` is not used."""
DEVICE_ORDER = "PCI_BUS_ID"
"""Value of CUDA_DEVICE_ORDER with which CUDA numbers the GPUs as nvidia-smi does."""
MODULE = "worker.processes.trainer"
"""Name of the module whose `main` a trainer process runs."""
FAULT = "fault: "
"""Prefix of an outcome that was caused by this machine, not by the job."""
LEAVE_S = 8.0
"""Seconds that a trainer gets to exit before it is killed."""


class Ended(NamedTuple):
    """
    How an attempt at a job ended.

    Attributes:
        outcome: a text such as ``succeeded``; see `worker.attempt.attempt.Outcome`.
        wakeups: the devices whose idle workers should be told that the job is runnable.
    """

    outcome: str
    wakeups: list[str]

    @property
    def fault(self) -> str:
        """Description of the machine's fault that ended the attempt; empty without a fault."""
        return self.outcome.removeprefix(FAULT) if self.outcome.startswith(FAULT) else ""


class TrainerDied(Exception):
    """The trainer process ended without reporting an outcome for its job."""


class NotBegun(TrainerDied):
    """The trainer process ended before it started its job; another trainer can take the job."""


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables for a trainer; *given* are those of its worker."""
    waiting = {} if WAITING & given.keys() else {"GOMP_SPINCOUNT": SPIN_COUNT}
    return {**given, **waiting, "CUDA_DEVICE_ORDER": DEVICE_ORDER}


class Trainers:
    """
    Owns a worker's fork server and its current trainer, and replaces them when needed.

    Args:
        device: the device to train on: cpu or cuda.
        module: the name of the module whose `main` a trainer process runs.
        answer_s: seconds to wait for an answer from the fork server before it is replaced.
    """

    def __init__(self, device: str, module: str = MODULE, *, answer_s: float = ANSWER_S) -> None:
        self._device, self._module, self._answer_s = device, module, answer_s
        self._server: ForkServer | None = None
        self._trainer: Trainer | None = None
        self._leaving = threading.Event()

    def prepare(self) -> None:
        """
        Start a trainer if there is none. Do nothing if the worker is stopping.

        Call this from the main thread only.
        """
        if self._leaving.is_set():
            return
        # A trainer that is not ready is not polled: that needs its process id, which comes only
        # after the imports.
        if self._trainer is not None and self._trainer.ready and not self._trainer.alive():
            self._dismiss()
        if self._server is not None and not self._server.alive:
            self.close()
        if self._server is None:
            self._server = ForkServer(
                self._module, environment(os.environ), answer_s=self._answer_s
            )
        if self._trainer is None:
            self._trainer = Trainer(self._server, self._device)
        if self._leaving.is_set():  # `drain` may have run while there was no server to kill
            self._server.kill()

    def fingerprint(self) -> str:
        """
        Wait until the trainer is ready; return its fingerprint.

        The fingerprint is a digest of the hardware and library versions. Trainers with equal
        fingerprints compute results that are equal bit for bit.

        Raises:
            TrainerDied: the trainer ended before it was ready, or the worker is stopping.
        """
        self.prepare()
        if self._trainer is None:
            raise TrainerDied("the worker is stopping")
        try:
            return self._trainer.fingerprint()
        except TrainerDied:
            self._trainer = None
            raise

    def train(self, claim: Claim, record: Record) -> Ended:
        """
        Have the trainer train the job; return how the attempt ended.

        A trainer may exit or be killed just when it gets the job. It has done nothing for the job
        yet, so another trainer gets the job.

        Raises:
            TrainerDied: the trainer ended without reporting an outcome, or the worker is stopping.
        """
        try:
            answer = self._try(claim, record)
        except NotBegun as death:
            log.warning("%s: another trainer gets the job: %s", claim.job_id, death)
            # Only once: if two trainers end like this, something is wrong, and the job is released.
            answer = self._try(claim, record)
        if not answer["clean"]:
            self._dismiss()
        return Ended(str(answer["outcome"]), list(answer["wakeups"]))

    def _try(self, claim: Claim, record: Record) -> dict[str, Any]:
        self.prepare()
        if self._trainer is None:
            raise TrainerDied("the worker is stopping")
        try:
            return self._trainer.train(claim, record)
        except TrainerDied:
            self._trainer = None
            raise

    def kill(self) -> None:
        """Kill the trainer, if it is ready or trains a job. Safe to call from any thread."""
        trainer = self._trainer
        if trainer is not None and trainer.ready:
            trainer.signal(signal.SIGKILL)

    def drain(self) -> None:
        """
        Tell the trainer to save its run, release its job and exit; start no further trainer.

        Safe to call from a signal handler.
        """
        self._leaving.set()
        if self._trainer is not None and self._trainer.ready:
            self._trainer.signal(signal.SIGTERM)
        # A trainer that is not ready has nothing to save, and ignores SIGTERM, as its server does.
        elif self._server is not None:
            self._server.kill()

    def close(self) -> None:
        """End the trainer and the fork server."""
        if self._trainer is not None:
            if self._server is not None and not self._trainer.ready:
                self._server.kill()  # otherwise the trainer would first finish its imports
            self._dismiss()
        if self._server is not None:
            self._server.close()
            self._server = None

    def _dismiss(self) -> None:
        # Cleared first: `drain` and `kill` may be called meanwhile, from a signal handler or from
        # another thread.
        trainer, self._trainer = self._trainer, None
        assert trainer is not None
        trainer.end()


class Trainer:
    """
    A trainer process and the two pipes to it.

    `worker.processes.trainer` describes the messages.

    Args:
        server: the server that forks the process.
        device: the device to train on: cpu or cuda.
    """

    def __init__(self, server: ForkServer, device: str) -> None:
        # Two stacks, so that nothing stays open if the second pipe cannot be created: a worker that
        # has run out of descriptors tries again and again. The trainer's ends (*its*) are closed
        # here in any case.
        with contextlib.ExitStack() as its, contextlib.ExitStack() as ours:
            reads, to_it = os.pipe()
            its.callback(os.close, reads)
            self._jobs = ours.enter_context(os.fdopen(to_it, "w"))
            from_it, writes = os.pipe()
            its.callback(os.close, writes)
            self._answers = ours.enter_context(os.fdopen(from_it))
            self._fork = Fork(server, device, (reads, writes))
            ours.pop_all()  # these stay open; the fork has copies of its own two ends
        self._fingerprint: str | None = None

    @property
    def ready(self) -> bool:
        """Whether the trainer is known to be ready for a job."""
        return self._fingerprint is not None

    def alive(self) -> bool:
        """Return whether the process is running."""
        return not self._fork.ended

    def fingerprint(self) -> str:
        """Wait until the trainer is ready; return the trainer's fingerprint."""
        if self._fingerprint is None:
            answer = self._read()
            try:
                log.info("trainer %d is ready", self._fork.pid)
            except ServerDied:
                raise self._death() from None
            self._fingerprint = str(answer["fingerprint"])
        return self._fingerprint

    def train(self, claim: Claim, record: Record) -> dict[str, Any]:
        """
        Send a job to the trainer and wait until the attempt ends; return the trainer's last answer.

        Raises:
            NotBegun: the process ended before it reported the start of the job.
            TrainerDied: the process ended later, without reporting an outcome.
        """
        self.fingerprint()
        try:
            job = {"claim": asdict(claim), "record": dict(record.fields)}
            print(json.dumps(job), file=self._jobs, flush=True)
            self._read()
        except BrokenPipeError:
            raise NotBegun(str(self._death())) from None
        except TrainerDied as death:
            raise NotBegun(str(death)) from None
        return self._read()

    def _read(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise self._death()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process if it is running. Safe to call from a signal handler."""
        self._fork.signal(number)

    def end(self) -> None:
        """Tell the process to exit, by closing its input; kill it if it does not exit in time."""
        with contextlib.suppress(BrokenPipeError):  # a job in the buffer was never read
            # A trainer without a job exits at the end of its input.
            self._jobs.close()
        if not self._fork.wait(LEAVE_S):
            self._fork.signal(signal.SIGKILL)
            self._fork.wait(LEAVE_S)
        self._answers.close()

    def _death(self) -> TrainerDied:
        self.end()
        return TrainerDied(str(self._fork))
