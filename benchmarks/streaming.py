"""
What it costs to report every step: ``python -m benchmarks.streaming``.

Ours: the training loop with every row going to a real server through the worker's reporter, its
lease renewed beside it. The peer: the same loop, whose reports are thrown away.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import redis
import torch
from redis.backoff import NoBackoff
from redis.retry import Retry

from benchmarks.harness import Comparison, compare, show
from jobs import calls
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
from worker.lease import Lease
from worker.patience import Patience
from worker.plan import Plan
from worker.reporter import Reporter

LEASE_MS = 30_000
JOBS: dict[str, tuple[dict[str, Any], int]] = {
    "2 ms a step": ({"kind": "mlp", "hidden": [512, 512]}, 400),
    "0.16 ms a step": ({"kind": "mlp", "hidden": [16]}, 4000),
}
"""What is trained, and for how many steps."""
WANTED = 0.98


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        EmbeddedServer(Path(home)) as server,
    ):
        client = redis.from_url(server.url, retry=Retry(NoBackoff(), 0))
        prepare(client)
        show("Streaming", [measure(client, name) for name in JOBS])


def measure(client: redis.Redis, name: str) -> Comparison:
    """Compare the loop that reports with the loop that does not."""
    model, steps = JOBS[name]
    spec = JobSpec.parse(
        {
            "model": model,
            "dataset": {"kind": "digits", "batch_size": 64},
            "optimizer": {"kind": "adam"},
            "training": {"steps": steps, "device": "cpu"},
        }
    )
    return compare(
        f"every step reported, {name}",
        lambda: reporting(client, spec),
        lambda: silent(spec),
        pairs=75,
        wanted=WANTED,
        peer_name="no reports",
    )


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


def reporting(client: redis.Redis, spec: JobSpec) -> float:
    """Return the seconds of a run whose every step reaches the store."""
    held = claimed(client, spec)
    run = started(spec)
    patience = Patience(client, threading.Event())
    with (
        Lease(held, client, Settings(lease_s=LEASE_MS / 1000)) as lease,
        Reporter(held, patience, Plan(run.spec), first=0, lease_ms=LEASE_MS) as reporter,
    ):
        start = time.perf_counter()
        for report in train(run):
            if isinstance(report, StepReport):
                reporter.row(report.step, (report.lr, report.loss), report.lrs)
            lease.beat()
        reporter.flush()
        took = time.perf_counter() - start
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
