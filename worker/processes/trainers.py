"""
Trainers, as their worker sees them: processes that are ready ahead of need.

One is forked before there is work, from a process that has done the imports, which cost seconds.
It takes one job after another for as long as each ends cleanly; after anything else another one
takes its place. All is started from the worker's main thread: the kernel ends it when that thread
ends.
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
from worker.processes.forks import Fork, ForkServer, ServerDied

log = logging.getLogger(__name__)

SPIN_COUNT = "2000"
"""
How often torch's threads look for one another before they sleep, unless the environment says how
to wait. Those that spin hold the core which the last one needs as soon as anything else runs on the
machine; those that sleep at once are slow on a quiet one (docs/decisions/0005).
"""
WAITING = frozenset({"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"})
"""What an environment says it with."""
DEVICE_ORDER = "PCI_BUS_ID"
"""How CUDA numbers the GPUs: as nvidia-smi does, so that the lock is on the card that is used."""
MODULE = "worker.processes.trainer"
"""What a trainer runs; tests have trainers that misbehave."""
FAULT = "fault: "
"""What an outcome begins with for which this machine is to blame."""
LEAVE_S = 8.0
"""Seconds a trainer gets to leave before it is killed."""


class Ended(NamedTuple):
    """
    How an attempt at a job ended.

    Attributes:
        outcome: as `worker.attempt.attempt` says it.
        bells: devices whose idle workers should hear that the job is there to be taken.
    """

    outcome: str
    bells: list[str]

    @property
    def fault(self) -> str:
        """What is wrong with this machine, if that ended it; else empty."""
        return self.outcome.removeprefix(FAULT) if self.outcome.startswith(FAULT) else ""


class TrainerDied(Exception):
    """The trainer ended without a word about its job."""


class NotBegun(TrainerDied):
    """The trainer ended before it had begun its job: another one can."""


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a trainer, for a worker whose own is *given*."""
    waiting = {} if WAITING & given.keys() else {"GOMP_SPINCOUNT": SPIN_COUNT}
    return {**given, **waiting, "CUDA_DEVICE_ORDER": DEVICE_ORDER}


class Trainers:
    """The trainer of a worker, the one that replaces it, and what both are forked from."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._server: ForkServer | None = None
        self._trainer: Trainer | None = None
        self._leaving = threading.Event()

    def prepare(self) -> None:
        """Have a trainer that is alive, unless the worker leaves; from the main thread only."""
        if self._leaving.is_set():
            return
        if self._trainer is not None and self._trainer.ready and not self._trainer.alive():
            self._dismiss()
        if self._server is not None and not self._server.alive:
            self.close()
        if self._server is None:
            self._server = ForkServer(MODULE, environment(os.environ))
        if self._trainer is None:
            self._trainer = Trainer(self._server, self._device)
        if self._leaving.is_set():  # since then, and there may have been nobody to tell
            self._server.kill()

    def fingerprint(self) -> str:
        """
        Return that of the trainer, once it is ready.

        Raises:
            TrainerDied: it ended before it was, or the worker leaves.
        """
        self.prepare()
        if self._trainer is None:
            raise TrainerDied("the worker leaves")
        try:
            return self._trainer.fingerprint()
        except TrainerDied:
            self._trainer = None
            raise

    def train(self, held: Claim) -> Ended:
        """
        Let a trainer see the job through; return what became of it.

        A trainer may be told to leave, or be killed, at the moment at which it gets the job; then
        the next one gets it, as nothing has been done about it.

        Raises:
            TrainerDied: the trainer ended without a word, or the worker leaves.
        """
        try:
            answer = self._try(held)
        except NotBegun as death:
            log.warning("%s: another trainer begins it: %s", held.job_id, death)
            answer = self._try(held)
        if not answer["clean"]:
            self._dismiss()
        return Ended(str(answer["outcome"]), list(answer["bells"]))

    def _try(self, held: Claim) -> dict[str, Any]:
        self.prepare()
        if self._trainer is None:
            raise TrainerDied("the worker leaves")
        try:
            return self._trainer.train(held)
        except TrainerDied:
            self._trainer = None
            raise

    def kill(self) -> None:
        """End the trainer at once, whatever it does; safe in any thread."""
        trainer = self._trainer
        if trainer is not None and trainer.ready:
            trainer.signal(signal.SIGKILL)

    def drain(self) -> None:
        """Ask the trainer to save its run and give it back; safe in a signal handler."""
        self._leaving.set()
        if self._trainer is not None and self._trainer.ready:
            self._trainer.signal(signal.SIGTERM)
        elif self._server is not None:
            self._server.kill()

    def close(self) -> None:
        """End the trainer, whatever it does, and what it was forked from."""
        if self._trainer is not None:
            if self._server is not None and not self._trainer.ready:
                self._server.kill()  # nobody waits for imports any more
            self._dismiss()
        if self._server is not None:
            self._server.close()
            self._server = None

    def _dismiss(self) -> None:
        trainer, self._trainer = self._trainer, None
        assert trainer is not None
        trainer.end()


class Trainer:
    """
    One trainer process and the two pipes to it.

    A line to it is a job to train; lines from it say that it is ready, which job it begins, and how
    that ended.
    """

    def __init__(self, server: ForkServer, device: str) -> None:
        with contextlib.ExitStack() as its, contextlib.ExitStack() as ours:
            hears, to_it = os.pipe()
            its.callback(os.close, hears)
            self._jobs = ours.enter_context(os.fdopen(to_it, "w"))
            from_it, says = os.pipe()
            its.callback(os.close, says)
            self._answers = ours.enter_context(os.fdopen(from_it))
            self._fork = Fork(server, device, (hears, says))
            ours.pop_all()  # they stay open
        self._fingerprint: str | None = None

    @property
    def ready(self) -> bool:
        """Whether it has said that it is."""
        return self._fingerprint is not None

    def alive(self) -> bool:
        """Return whether the process runs."""
        return not self._fork.ended

    def fingerprint(self) -> str:
        """Wait until the trainer is ready; return what its bits depend on."""
        if self._fingerprint is None:
            said = self._hear()
            try:
                log.info("trainer %d is ready", self._fork.pid)
            except ServerDied:
                raise self._death() from None
            self._fingerprint = str(said["fingerprint"])
        return self._fingerprint

    def train(self, held: Claim) -> dict[str, Any]:
        """
        Hand over a job and wait for how it ended.

        Raises:
            NotBegun: the process ended before it said that it begins.
            TrainerDied: it ended later.
        """
        self.fingerprint()
        try:
            print(json.dumps(asdict(held)), file=self._jobs, flush=True)
            self._hear()
        except BrokenPipeError:
            raise NotBegun(str(self._death())) from None
        except TrainerDied as death:
            raise NotBegun(str(death)) from None
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise self._death()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, if it still runs; safe in a signal handler."""
        self._fork.signal(number)

    def end(self) -> None:
        """Ask the process to leave, and kill it if it does not."""
        with contextlib.suppress(BrokenPipeError):  # there is a job that it never took
            self._jobs.close()
        if not self._fork.wait(LEAVE_S):
            self._fork.signal(signal.SIGKILL)
            self._fork.wait(LEAVE_S)
        self._answers.close()

    def _death(self) -> TrainerDied:
        self.end()
        return TrainerDied(str(self._fork))
