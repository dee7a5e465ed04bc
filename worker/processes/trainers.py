"""
The trainer of a worker: a process that is ready ahead of need.

It is forked before there is a job, from a process that has done the imports, which take seconds.
It trains one job after another as long as each ends cleanly; after any other end it is replaced.
Processes are started from the worker's main thread only: the kernel ends them with that thread.
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
How often a thread of torch spins before it sleeps, unless the environment sets how to wait. As soon
as anything else runs on the machine, threads that spin hold the core that the last one needs;
threads that sleep at once are slow on a quiet machine (docs/decisions/0005).
"""
WAITING = frozenset({"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"})
"""Environment variables that set how to wait."""
DEVICE_ORDER = "PCI_BUS_ID"
"""CUDA numbers the GPUs as nvidia-smi does, so that the lock is on the card that is used."""
MODULE = "worker.processes.trainer"
"""With the `main` that a trainer runs."""
FAULT = "fault: "
"""Prefix of an outcome that is due to this machine, not to the job."""
LEAVE_S = 8.0
"""Seconds a trainer gets to end before it is killed."""


class Ended(NamedTuple):
    """
    How an attempt at a job ended.

    Attributes:
        outcome: an `worker.attempt.attempt.Outcome`.
        wakeups: devices whose idle workers should hear that the job is runnable.
    """

    outcome: str
    wakeups: list[str]

    @property
    def fault(self) -> str:
        """What is wrong with this machine, if that ended the attempt; else empty."""
        return self.outcome.removeprefix(FAULT) if self.outcome.startswith(FAULT) else ""


class TrainerDied(Exception):
    """The trainer ended without an answer about its job."""


class NotBegun(TrainerDied):
    """The trainer ended before it began its job: another trainer can."""


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a trainer, for a worker whose own is *given*."""
    waiting = {} if WAITING & given.keys() else {"GOMP_SPINCOUNT": SPIN_COUNT}
    return {**given, **waiting, "CUDA_DEVICE_ORDER": DEVICE_ORDER}


class Trainers:
    """
    The trainer of a worker, the one that replaces it, and the server both are forked from.

    Args:
        device: cpu or cuda.
        module: with the `main` that a trainer runs.
        answer_s: seconds that the fork server gets to answer before it is replaced.
    """

    def __init__(self, device: str, module: str = MODULE, *, answer_s: float = ANSWER_S) -> None:
        self._device, self._module, self._answer_s = device, module, answer_s
        self._server: ForkServer | None = None
        self._trainer: Trainer | None = None
        self._leaving = threading.Event()

    def prepare(self) -> None:
        """Start a trainer if there is none, unless the worker leaves; from the main thread only."""
        if self._leaving.is_set():
            return
        # One that is not ready is not asked: its number, which that needs, comes after the imports.
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
        if self._leaving.is_set():  # `drain` may have come while there was no server to kill
            self._server.kill()

    def fingerprint(self) -> str:
        """
        Return the fingerprint of the trainer, once it is ready.

        Raises:
            TrainerDied: it ended before that, or the worker leaves.
        """
        self.prepare()
        if self._trainer is None:
            raise TrainerDied("the worker leaves")
        try:
            return self._trainer.fingerprint()
        except TrainerDied:
            self._trainer = None
            raise

    def train(self, claim: Claim, record: Record) -> Ended:
        """
        Let a trainer train the job; return how that ended.

        A trainer may be told to leave, or be killed, at the moment at which it gets the job. Then
        the next trainer gets it, as nothing was done about it yet.

        Raises:
            TrainerDied: the trainer ended without an answer, or the worker leaves.
        """
        try:
            answer = self._try(claim, record)
        except NotBegun as death:
            log.warning("%s: another trainer begins it: %s", claim.job_id, death)
            # Only once: where two trainers end like this something is wrong, and the job is given
            # back.
            answer = self._try(claim, record)
        if not answer["clean"]:
            self._dismiss()
        return Ended(str(answer["outcome"]), list(answer["wakeups"]))

    def _try(self, claim: Claim, record: Record) -> dict[str, Any]:
        self.prepare()
        if self._trainer is None:
            raise TrainerDied("the worker leaves")
        try:
            return self._trainer.train(claim, record)
        except TrainerDied:
            self._trainer = None
            raise

    def kill(self) -> None:
        """Kill the trainer; safe in any thread."""
        trainer = self._trainer
        if trainer is not None and trainer.ready:
            trainer.signal(signal.SIGKILL)

    def drain(self) -> None:
        """Ask the trainer to save its run and give it back; safe in a signal handler."""
        self._leaving.set()
        if self._trainer is not None and self._trainer.ready:
            self._trainer.signal(signal.SIGTERM)
        # A trainer that is not ready ignores SIGTERM, as its server does, and has nothing to save.
        elif self._server is not None:
            self._server.kill()

    def close(self) -> None:
        """End the trainer and the fork server."""
        if self._trainer is not None:
            if self._server is not None and not self._trainer.ready:
                self._server.kill()  # else the trainer would first finish its imports
            self._dismiss()
        if self._server is not None:
            self._server.close()
            self._server = None

    def _dismiss(self) -> None:
        # Forgotten first: `drain` and `kill` may come from a signal handler or another thread
        # meanwhile.
        trainer, self._trainer = self._trainer, None
        assert trainer is not None
        trainer.end()


class Trainer:
    """
    One trainer process and the two pipes to it.

    `worker.processes.trainer` describes the messages.
    """

    def __init__(self, server: ForkServer, device: str) -> None:
        # Two stacks, so that nothing stays open where the second pipe cannot be made: a worker
        # without descriptors tries again and again. *its* ends are closed here in any case.
        with contextlib.ExitStack() as its, contextlib.ExitStack() as ours:
            reads, to_it = os.pipe()
            its.callback(os.close, reads)
            self._jobs = ours.enter_context(os.fdopen(to_it, "w"))
            from_it, writes = os.pipe()
            its.callback(os.close, writes)
            self._answers = ours.enter_context(os.fdopen(from_it))
            self._fork = Fork(server, device, (reads, writes))
            ours.pop_all()  # they stay open; the fork has copies of its own two ends
        self._fingerprint: str | None = None

    @property
    def ready(self) -> bool:
        """Whether it is ready for a job."""
        return self._fingerprint is not None

    def alive(self) -> bool:
        """Return whether the process runs."""
        return not self._fork.ended

    def fingerprint(self) -> str:
        """Wait until the trainer is ready; return its fingerprint."""
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
        Hand over a job and wait for its end.

        Raises:
            NotBegun: the process ended before it said that it begins the job.
            TrainerDied: it ended later.
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
        """Send the process a signal, if it still runs; safe in a signal handler."""
        self._fork.signal(number)

    def end(self) -> None:
        """Ask the process to end, and kill it if it does not."""
        with contextlib.suppress(BrokenPipeError):  # there is a job that it never took
            # The end of its file is what tells a trainer without a job to end.
            self._jobs.close()
        if not self._fork.wait(LEAVE_S):
            self._fork.signal(signal.SIGKILL)
            self._fork.wait(LEAVE_S)
        self._answers.close()

    def _death(self) -> TrainerDied:
        self.end()
        return TrainerDied(str(self._fork))
