"""
Measures how often the expected time of a job holds: ``python -m benchmarks.expected``.

A real stack with one worker trains jobs of one kind. After three of them, `POST /v1/jobs/validate`
says in which range of time the next job is to lie; the benchmark counts the jobs that do.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import machine
from optcore.plan.expected import FEWEST
from optserve.client import Client
from optserve.contract.answers.metrics import StreamEnd
from optserve.local import stack

JOBS = 10
WANTED = 8
KINDS: dict[str, dict[str, Any]] = {
    "mlp, 1,000 steps": {
        "model": {"kind": "mlp"},
        "dataset": {"kind": "digits"},
        "optimizer": {"kind": "adam"},
        "training": {"steps": 1000},
    },
    "mlp, 4,000 steps, 10 checkpoints": {
        "model": {"kind": "mlp", "hidden": [256, 256]},
        "dataset": {"kind": "digits"},
        "optimizer": {"kind": "sgd"},
        "training": {"steps": 4000, "checkpoint_every": 400},
    },
}


def main() -> None:
    """Run the benchmark and print the results."""
    with tempfile.TemporaryDirectory(prefix="optserve-bench-") as home:
        running = stack.running(home=Path(home), port=0, workers=1)
        with running as started, Client(started.url) as client:
            results = {name: held(client, spec) for name, spec in KINDS.items()}
    print(f"\n### The expected time of a job\n\n{machine()}\n")
    for name, number in results.items():
        print(f"{name}: the range held for {number} of {JOBS} jobs (wanted: {WANTED})")


def held(client: Client, spec: dict[str, Any]) -> int:
    """Return for how many jobs the time was in the range that was expected before them."""
    for _ in range(FEWEST):
        trained_s(client, spec)
    number = 0
    for _ in range(JOBS):
        times = client.validate(spec).expected_time
        assert times
        (expected,) = times
        assert expected.lowest_s is not None
        assert expected.highest_s is not None
        number += expected.lowest_s <= trained_s(client, spec) <= expected.highest_s
    return number


def trained_s(client: Client, spec: dict[str, Any]) -> float:
    """Train a job, and return for how many seconds."""
    job = client.submit(spec)
    for update in client.follow(job.id):
        if isinstance(update, StreamEnd):
            break
    return client.job(job.id).trained_s


if __name__ == "__main__":
    main()
