"""
Measures the time from a step to its row at a client: ``python -m benchmarks.visible``.

A real stack trains jobs of about 1,000 steps a second, which one client follows by server-sent
events. The trainer records when each step was made (`benchmarks.clocked`), and the client when it
has parsed the row, both by the clock of the same machine. Every row counts, even the first ones.
"""

from __future__ import annotations

import os
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

from benchmarks.clocked import TIMES
from benchmarks.harness import duration, machine, percentile
from optserve.client import Client
from optserve.local import stack

STEPS = 15_000
RUNS = 3
JOB: dict[str, Any] = {
    "model": {"kind": "mlp", "hidden": [256, 256]},
    "dataset": {"kind": "digits", "batch_size": 64},
    "optimizer": {"kind": "adam"},
}
TRAININGS: dict[str, dict[str, Any]] = {
    "evaluated every epoch (default)": {},
    "never evaluated": {"evaluate_every": None},
}
"""Rows are sent with each evaluation; without evaluations, ten times a second. All save every 500
steps."""
WANTED = {50: 0.1, 99: 0.3}
"""Percentile -> wanted maximum in seconds."""


def main() -> None:
    """Run the benchmark and print the results."""
    with tempfile.TemporaryDirectory(prefix="optserve-bench-") as home:
        times = Path(home) / "times"
        os.environ[TIMES] = str(times)
        os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])  # for the worker's module
        running = stack.running(
            home=Path(home), port=0, workers=1, worker_module="benchmarks.clocked"
        )
        with running as started, Client(started.url) as client:
            results = [
                f"{name}: {measure(client, times, training)}"
                for name, training in TRAININGS.items()
                for _ in range(RUNS)
            ]
    print(f"\n### From a step to its row at a client\n\n{machine()}\n")
    for result in results:
        print(result)


def measure(client: Client, times: Path, training: dict[str, Any]) -> str:
    """Train a job and follow it; return a line of text about how late its rows arrived."""
    job = {**JOB, "training": {"steps": STEPS, "device": "cpu", **training}}
    seen = array("d", bytes(8 * STEPS))
    for update in client.follow(client.submit(job).id):
        if isinstance(update, list):
            now = time.monotonic()
            for row in update:
                seen[row.step] = now
    made = array("d", times.read_bytes())
    late = [after - before for before, after in zip(made, seen, strict=True)]
    rate = (STEPS - 1) / (made[-1] - made[0])
    return f"{STEPS:,} steps at {rate:,.0f} steps a second: " + ", ".join(
        f"p{share} {duration(percentile(late, share))} "
        f"(wanted {duration(wanted)}{'' if percentile(late, share) <= wanted else ', missed'})"
        for share, wanted in WANTED.items()
    )


if __name__ == "__main__":
    main()
