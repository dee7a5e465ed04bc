"""
What it costs to report every step: ``python -m benchmarks.streaming``.

Ours: the loop as a worker's attempt drives it, every row going to a real server, with its journal,
its lease, and looks at what is asked for. The peer: the same steps, whose reports are thrown away.

These processors change their speed from second to second, so pairs are short and many. The clocks
of a pair start after a random number of steps, so that what happens once a second (the lease, the
journal, the comparison with the plan) falls into as many of them as it should.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import redis
import torch
from redis.backoff import NoBackoff
from redis.retry import Retry

from benchmarks.harness import Comparison, compare, duration, show
from jobs import calls
from jobs.artifacts import Storage
from jobs.calls import Held
from jobs.functions import send
from jobs.record import new_fields, new_id
from jobs.server import prepare
from jobs.settings import Settings
from jobs.spec.job import JobSpec
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from optserve.embedded import EmbeddedServer
from worker.attempt import Attempt, Tools
from worker.journal import Journal
from worker.lease import Lease
from worker.patience import Patience
from worker.plan import Plan
from worker.reporter import Reporter

LEASE_MS = 30_000
PAIRS = 120
MEASURED_S = 0.25
WARM_S = (0.3, 1.3)
"""Seconds before the clock starts: at least, at most."""


class Job(NamedTuple):
    """
    What is trained.

    Attributes:
        steps_per_s: about.
        wanted: share of the speed that must be left.
    """

    spec: dict[str, Any]
    steps_per_s: int
    wanted: float


JOBS = [
    Job(
        {
            "model": {"kind": "mlp", "hidden": [288, 288]},
            "dataset": {"kind": "digits", "batch_size": 64},
            "optimizer": {"kind": "adam"},
        },
        steps_per_s=1000,
        wanted=0.99,
    ),
    Job(
        {
            "model": {"kind": "mlp", "hidden": []},
            "dataset": {"kind": "digits", "batch_size": 16},
            "optimizer": {"kind": "sgd", "lr": 0.01},
        },
        steps_per_s=10_000,
        wanted=0.98,
    ),
]


class Clock:
    """Seconds from one step to another, each when it was made."""

    def __init__(self, first: int, last: int) -> None:
        self._first, self._last = first, last
        self._started = self.seconds = 0.0

    def __call__(self, report: StepReport) -> None:
        """Look at a step."""
        if report.step == self._first:
            self._started = time.perf_counter()
        elif report.step == self._last:
            self.seconds = time.perf_counter() - self._started


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        EmbeddedServer(Path(home)) as server,
    ):
        client = redis.from_url(server.url, retry=Retry(NoBackoff(), 0))
        prepare(client)
        show("Streaming", [measure(client, Path(home), job) for job in JOBS])


def measure(client: redis.Redis, home: Path, job: Job) -> Comparison:
    """Compare the loop that reports with the loop that does not."""
    steps = int(MEASURED_S * job.steps_per_s)
    rng = random.Random(1)
    warm = [int(rng.uniform(*WARM_S) * job.steps_per_s) for _ in range(PAIRS + 1)]
    of_ours, of_peer = iter(warm), iter(warm)  # the same: later steps take longer, or shorter
    found = compare(
        "",
        lambda: reporting(client, home, job, next(of_ours), steps),
        lambda: silent(job, next(of_peer), steps),
        pairs=PAIRS,
        wanted=job.wanted,
        peer_name="no reports",
    )
    step = duration(statistics.median(found.peer) / steps)
    return replace(found, name=f"every step reported, {step} a step")


def started(job: Job, steps: int) -> tuple[JobSpec, Run]:
    """Return a fresh run of so many steps, and its spec."""
    training = {"steps": steps, "device": "cpu", "evaluate_every": None, "checkpoint_every": None}
    spec = JobSpec.parse({**job.spec, "training": training})
    return spec, Run.start(spec.run_spec(), data_dir=Path())


def silent(job: Job, warm: int, steps: int) -> float:
    """Return the seconds of steps whose reports are thrown away."""
    _, run = started(job, warm + steps + 1)
    clock = Clock(warm, warm + steps)

    def clocked(report: StepReport) -> None:  # as below: looking at the clock is not reporting
        clock(report)

    for report in train(run):
        if isinstance(report, StepReport):
            clocked(report)
    return clock.seconds


def reporting(client: redis.Redis, home: Path, job: Job, warm: int, steps: int) -> float:
    """Return the seconds of steps each of which reaches the store."""
    spec, run = started(job, warm + steps + 1)
    held, settings, leaving = claimed(client, spec), Settings(), threading.Event()
    tools = Tools(client, Storage(home), settings, "cpu", leaving)
    plan = Plan(run.spec)
    clock = Clock(warm, warm + steps)
    with (
        Lease(held, client, settings) as lease,
        Journal(home / "journal", first=0, width=plan.series.width) as journal,
        Reporter(
            held,
            Patience(client, leaving),
            plan,
            first=0,
            lease_ms=LEASE_MS,
            journal=journal,
        ) as reporter,
    ):
        take = reporter.take

        def clocked(report: StepReport) -> None:
            clock(report)
            take(report)

        reporter.take = clocked
        Attempt(held, tools).follow(run, reporter, lease, home)
        reporter.flush()
        send(client, calls.fail(held, reason="error", detail="a benchmark"))
    return clock.seconds


def claimed(client: redis.Redis, spec: JobSpec) -> Held:
    """Return a job of *spec* that is ours."""
    call = calls.submit("local", new_id(), new_fields(spec), idempotency_key="", body_sha="")
    send(client, call)
    token = new_id()
    claim = calls.claim("bench", device="cpu", fingerprint="f", token=token, lease_ms=LEASE_MS)
    record = send(client, claim)
    assert record is not None
    return Held(record.tenant, record.id, token)


if __name__ == "__main__":
    main()
