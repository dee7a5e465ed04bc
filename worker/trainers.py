"""
Trainers, as their worker sees them: processes that have imported torch ahead of need.

One is started before there is work, since its imports cost seconds. It takes one job after
another for as long as each ends cleanly; after anything else another one takes its place. It is
always started from the worker's main thread: the kernel ends it when that thread ends.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

from jobs.calls import Held

log = logging.getLogger(__name__)

SPIN_COUNT = "2000"
"""
How often torch's threads look for one another before they sleep, unless the environment says how
to wait. Those that spin hold the core which the last one needs as soon as anything else runs on the
machine; those that sleep at once are slow on a quiet one (docs/decisions/0005).
"""
WAITING = frozenset({"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"})
"""What an environment says it with."""
MODULE = "worker.trainer"
"""What a trainer runs; tests have trainers that misbehave."""
LEAVE_S = 8.0
"""Seconds a trainer gets to leave before it is killed."""


class TrainerDied(Exception):
    """The trainer ended without a word about its job."""


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a trainer, for a worker whose own is *given*."""
    return dict(given) if WAITING & given.keys() else {**given, "GOMP_SPINCOUNT": SPIN_COUNT}


class Trainers:
    """The trainer of a worker, and the one that replaces it."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._trainer: Trainer | None = None

    def prepare(self) -> None:
        """Have a trainer that is alive; from the main thread only."""
        if self._trainer is not None and not self._trainer.alive():
            self.close()
        if self._trainer is None:
            self._trainer = Trainer(self._device)

    def fingerprint(self) -> str:
        """
        Return that of the trainer, once it is ready.

        Raises:
            TrainerDied: it ended before it was.
        """
        self.prepare()
        assert self._trainer is not None
        try:
            return self._trainer.fingerprint()
        except TrainerDied:
            self._trainer = None
            raise

    def train(self, held: Held) -> str:
        """
        Let a trainer see the job through; return what became of it.

        Raises:
            TrainerDied: the trainer ended without a word.
        """
        self.prepare()
        assert self._trainer is not None
        try:
            answer = self._trainer.train(held)
        except TrainerDied:
            self._trainer = None
            raise
        if not answer["clean"]:
            self.close()
        return str(answer["outcome"])

    def drain(self) -> None:
        """Ask the trainer to save its run and give it back; safe in a signal handler."""
        if self._trainer is not None:
            self._trainer.signal(signal.SIGTERM)

    def close(self) -> None:
        """End the trainer, whatever it does."""
        if self._trainer is not None:
            self._trainer.end()
            self._trainer = None


class Trainer:
    """
    One trainer process and the two pipes to it.

    A line to it is a job to train; lines from it say that it is ready and how jobs ended.
    """

    def __init__(self, device: str) -> None:
        hears, self._to_it = os.pipe()
        self._from_it, says = os.pipe()
        command = [sys.executable, "-P", "-m", MODULE, device, str(hears), str(says)]
        self._process = subprocess.Popen(
            [*command, str(os.getpid())],
            pass_fds=(hears, says),
            process_group=0,
            env=environment(os.environ),
        )
        os.close(hears)
        os.close(says)
        self._answers: IO[str] = os.fdopen(self._from_it, "r")
        self._fingerprint: str | None = None
        log.info("trainer %d started", self._process.pid)

    def alive(self) -> bool:
        """Return whether the process runs."""
        return self._process.poll() is None

    def fingerprint(self) -> str:
        """Wait until the trainer is ready; return what its bits depend on."""
        if self._fingerprint is None:
            self._fingerprint = str(self._hear()["fingerprint"])
        return self._fingerprint

    def train(self, held: Held) -> dict[str, Any]:
        """Hand over a job and wait for how it ended."""
        self.fingerprint()
        line = json.dumps(asdict(held))
        try:
            os.write(self._to_it, line.encode() + b"\n")
        except BrokenPipeError:
            raise self._death() from None
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise self._death()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, if it still runs."""
        if self.alive():
            self._process.send_signal(number)

    def end(self) -> None:
        """Ask the process to leave, and kill it if it does not; one without a job, at once."""
        os.close(self._to_it)
        if self._fingerprint is None:
            self._process.kill()
        try:
            self._process.wait(timeout=LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def _death(self) -> TrainerDied:
        code = self._process.wait()
        os.close(self._to_it)
        self._answers.close()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return TrainerDied(f"trainer {self._process.pid} ended with {how}")
