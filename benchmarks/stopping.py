"""
Measures how soon a job ends after its client requests that, at random moments.

A killed job must end within two seconds. A cancelled job is saved first, so it gets in addition the
time of one batch and one checkpoint, which is measured too. ::

    python -m benchmarks.stopping [PHASE...] [--moments 100]
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import duration, machine
from optserve.client import Client
from optserve.contract.answers.jobs import Job
from optserve.contract.answers.metrics import StreamEnd
from optserve.contract.states import State
from optserve.local import stack
from tests.support.machine.faulty_files import FaultyFiles

LIMIT_S = 2.0
MOMENTS = 100
SEED = 7
LARGE = {"kind": "mlp", "hidden": [2048, 2048]}
"""A network for which a batch takes some 50 ms on two cores, and a checkpoint half a second."""


@dataclass(frozen=True)
class Phase:
    """
    A phase of a run during which its client requests its end.

    Attributes:
        training: the fields of ``training`` with which a job has this phase.
        optimizer: the job's optimizer.
        dataset: the job's dataset.
        within_s: the range of the random moment, in seconds after the job's start.
        full: whether the storage is full meanwhile.
        saves: whether a cancelled run is saved in this phase.
    """

    training: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=lambda: {"kind": "adam", "lr": 0.001})
    dataset: dict[str, Any] = field(default_factory=lambda: {"kind": "digits", "batch_size": 100})
    within_s: tuple[float, float] = (0.5, 3.0)
    full: bool = False
    saves: bool = True

    @property
    def spec(self) -> dict[str, Any]:
        """The spec of a job with this phase."""
        training = {"steps": 100_000, "seed": 3, "evaluate_every": None, "checkpoint_every": None}
        return {
            "name": "stopping",
            "model": LARGE,
            "dataset": self.dataset,
            "optimizer": self.optimizer,
            "training": training | self.training,
        }


PHASES = {
    "set-up": Phase(within_s=(0.0, 0.3), saves=False),
    "step": Phase(),
    "L-BFGS": Phase(
        optimizer={"kind": "lbfgs", "lr": 0.01, "max_iter": 1000, "tolerance_change": 0.0},
        dataset={"kind": "digits", "batch_size": 1000},
    ),
    "accumulation": Phase(
        training={"accumulate": 1000}, dataset={"kind": "digits", "batch_size": 2}
    ),
    "evaluation": Phase(training={"evaluate_every": 1}),
    "checkpoint": Phase(training={"checkpoint_every": 1}),
    "full storage": Phase(training={"checkpoint_every": 1}, full=True, saves=False),
}


def main() -> None:
    """Run the benchmark and print the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("phases", nargs="*", default=list(PHASES))
    parser.add_argument("--moments", type=int, default=MOMENTS)
    given = parser.parse_args()
    print(f"## Stopping, {given.moments} random moments each\n\n{machine()}\n")
    print("| | kill, p50 | p99 | cancel, p50 | p99 | of which a batch and a checkpoint | limit |")
    print("|---|---|---|---|---|---|---|")
    with service() as (client, files):
        for name in given.phases:
            show(name, client, files, given.moments)
    print(f"\nA kill may take {LIMIT_S:g} s; a cancel that plus a batch and a checkpoint.")


@contextmanager
def service() -> Iterator[tuple[Client, FaultyFiles]]:
    """Yield a client for a stack with one worker, and its storage, which can be made full."""
    with tempfile.TemporaryDirectory(prefix="optserve-bench-") as folder:
        home = Path(folder)
        files = FaultyFiles(home / "storage", control=home / "control")
        with pytest.MonkeyPatch.context() as environment:
            for name, value in files.environment.items():
                environment.setenv(name, value)
            with stack.running(home=home, port=0) as running, Client(running.url) as client:
                while not all(worker.fingerprint for worker in client.workers()):
                    time.sleep(0.1)
                yield client, files


def show(name: str, client: Client, files: FaultyFiles, moments: int) -> None:
    """Measure a phase and print its row of the table."""
    phase, draw = PHASES[name], random.Random(SEED)
    killed = sorted(stopped(client, files, phase, "kill", draw) for _ in range(moments))
    cancelled = sorted(stopped(client, files, phase, "cancel", draw) for _ in range(moments))
    spared = batch_and_checkpoint_s(client) if phase.saves else 0.0
    verdict = "" if p99(killed) <= LIMIT_S and p99(cancelled) <= LIMIT_S + spared else " (missed)"
    print(
        f"| {name} | {duration(killed[moments // 2])} | {duration(p99(killed))} "
        f"| {duration(cancelled[moments // 2])} | {duration(p99(cancelled))} "
        f"| {duration(spared)} | {duration(LIMIT_S + spared)}{verdict} |",
        flush=True,
    )


def p99(ordered: Sequence[float]) -> float:
    """Return the value that 99 % of *ordered*, which are sorted, do not exceed."""
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]


def stopped(
    client: Client, files: FaultyFiles, phase: Phase, action: str, draw: random.Random
) -> float:
    """Stop a job at a random moment; return the seconds until it had ended."""
    took, job = stop(client, files, phase, action, draw.uniform(*phase.within_s))
    assert job.state is State.CANCELLED, job
    return took


def stop(
    client: Client, files: FaultyFiles, phase: Phase, action: str, after_s: float
) -> tuple[float, Job]:
    """Start a job, stop it *after_s* seconds later; return the seconds to its end, and the job."""
    if phase.full:
        files.break_with("ENOSPC", match="checkpoints")
    job_id = client.submit(phase.spec).id
    while client.job(job_id).state is State.QUEUED:
        time.sleep(0.002)
    time.sleep(after_s)
    asked = time.monotonic()
    (client.kill if action == "kill" else client.cancel)(job_id)
    for update in client.follow(job_id, after=-1):
        if isinstance(update, StreamEnd):
            break
    took = time.monotonic() - asked
    files.heal()
    return took, client.job(job_id)


def batch_and_checkpoint_s(client: Client) -> float:
    """Return the seconds that a batch and a checkpoint take now, from the history of a job."""
    spec = {**PHASES["checkpoint"].spec}
    spec["training"] = {**spec["training"], "steps": 12}
    job_id = client.submit(spec).id
    for update in client.follow(job_id):
        if isinstance(update, StreamEnd):
            break
    saved = [event.at for event in client.events(job_id) if event.kind == "checkpointed"]
    return max((after - before).total_seconds() for before, after in pairwise(saved))


if __name__ == "__main__":
    main()
