"""
What it costs to report every step: ``python -m benchmarks.streaming``.

Ours: the loop as a worker's attempt drives it, every row going to a real server, with its journal,
its lease, and a look at what is asked for after every step. The peer: the same steps, whose reports
are thrown away. The clock stops when the last step is made: a run is long, and what is left then is
written once.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from optcore.training.run import Run
from optserve.embedded import EmbeddedServer
from worker.attempt import Attempt, Tools
from worker.journal import Journal
from worker.lease import Lease
from worker.patience import Patience
from worker.plan import Plan
from worker.reporter import Reporter

LEASE_MS = 30_000
JOBS: list[tuple[dict[str, Any], int, float]] = [
    (
        {
            "model": {"kind": "mlp", "hidden": [288, 288]},
            "dataset": {"kind": "digits", "batch_size": 64},
            "optimizer": {"kind": "adam"},
        },
        1000,
        0.99,
    ),
    (
        {
            "model": {"kind": "mlp", "hidden": []},
            "dataset": {"kind": "digits", "batch_size": 16},
            "optimizer": {"kind": "sgd", "lr": 0.01},
        },
        10_000,
        0.98,
    ),
]
"""What is trained, of about 1 ms and 0.1 ms a step; for how many steps; what is wanted."""
PAIRS = 75


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        EmbeddedServer(Path(home)) as server,
    ):
        client = redis.from_url(server.url, retry=Retry(NoBackoff(), 0))
        prepare(client)
        show("Streaming", [measure(client, Path(home), *job) for job in JOBS])


def measure(
    client: redis.Redis, home: Path, job: dict[str, Any], steps: int, wanted: float
) -> Comparison:
    """Compare the loop that reports with the loop that does not."""
    training = {"steps": steps, "device": "cpu", "evaluate_every": None, "checkpoint_every": None}
    spec = JobSpec.parse({**job, "training": training})
    found = compare(
        "",
        lambda: reporting(client, home, spec),
        lambda: silent(spec),
        pairs=PAIRS,
        wanted=wanted,
        peer_name="no reports",
    )
    step = duration(statistics.median(found.peer) / steps)
    return replace(found, name=f"every step reported, {step} a step")


def started(spec: JobSpec) -> Run:
    """Return a fresh run."""
    return Run.start(spec.run_spec(), data_dir=Path())


def silent(spec: JobSpec) -> float:
    """Return the seconds of a run whose reports are thrown away."""
    run = started(spec)
    start = time.perf_counter()
    for _ in train(run):
        pass
    return time.perf_counter() - start


def reporting(client: redis.Redis, home: Path, spec: JobSpec) -> float:
    """Return the seconds of a run whose every step reaches the store."""
    held, settings, leaving = claimed(client, spec), Settings(), threading.Event()
    tools = Tools(client, Storage(home), settings, "cpu", leaving)
    run = started(spec)
    plan = Plan(run.spec)
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
        start = time.perf_counter()
        Attempt(held, tools).follow(run, reporter, lease, home)
        took = time.perf_counter() - start
        reporter.flush()
        send(client, calls.fail(held, reason="error", detail="a benchmark"))
    return took


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
