"""
Measures the memory of a running job's series in Redis: ``python -m benchmarks.memory``.

A job with two columns is reported at 1,000 steps per second of its training time. All keys of its
series are measured with MEMORY USAGE at the end and on the way there, since Redis may reserve twice
the memory that a growing string needs. The server is the embedded one; another may reserve more.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from benchmarks.harness import machine
from benchmarks.streaming import LEASE_MS, claimed
from optserve.contract.requests.job import JobSpec
from optserve.local.embedded import EmbeddedServer
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.series import PLAIN
from store.redis import keys
from store.redis.connect import connect
from store.redis.functions import send
from store.redis.server import prepare

STEPS = (100, 5_000, 1_000_000)
AT_ONCE = 100
PER_S = 1000
WANTED = 24
LOOKS = 50
"""Number of measurements on the way."""


def main() -> None:
    """Run the benchmark and print the results."""
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        EmbeddedServer(Path(home)) as server,
        connect(server.url) as client,
    ):
        prepare(client)
        client.config_set("appendfsync", "no")  # memory is measured, not time
        allocator = client.info("memory")["mem_allocator"]
        print(f"\n### Memory of a running job\n\n{machine()}, allocator {allocator}\n")
        for steps in STEPS:
            print(line(steps, list(measure(client, steps))))


def line(steps: int, sizes: list[float]) -> str:
    """Return a line of text with the results."""
    verdict = "" if max(sizes) <= WANTED else " (missed)"
    return (
        f"{steps:,} steps: {sizes[-1]:.1f} bytes a step in Redis, at most {max(sizes):.1f} on the "
        f"way, wanted {WANTED}{verdict}"
    )


def measure(client: redis.Redis, steps: int) -> Iterator[float]:
    """Report a job up to *steps*; yield the bytes per step at intervals."""
    training = {"steps": steps, "device": "cpu"}
    held, _ = claimed(
        client,
        JobSpec.parse(
            {
                "model": {"kind": "mlp"},
                "dataset": {"kind": "digits"},
                "optimizer": {"kind": "adam"},
                "training": training,
            }
        ),
    )
    every = max(AT_ONCE, steps // LOOKS // AT_ONCE * AT_ONCE)
    for first in range(0, steps, AT_ONCE):
        report(client, held, first)
        rows = first + AT_ONCE
        if rows % every == 0 or rows == steps:
            yield series_bytes(client, held) / rows
    send(client, calls.fail(held, reason="error", detail="a benchmark"))


def report(client: redis.Redis, held: Claim, first: int) -> None:
    """Append rows from *first* on, as if the job had been trained at `PER_S` steps per second."""
    seconds, micro = client.time()
    now_ms = 1000 * seconds + micro // 1000
    job = keys.JOB % (held.tenant, held.job_id)
    client.hset(job, "claimed", now_ms - first * 1000 // PER_S)
    data = PLAIN.pack([(0.1, 1 / (step + 1)) for step in range(first, first + AT_ONCE)])
    append = calls.append(held, first=first, width=PLAIN.width, data=data, lease_ms=LEASE_MS)
    send(client, append)


def series_bytes(client: redis.Redis, held: Claim) -> int:
    """Return the bytes that all keys of a job's series take, according to the server."""
    patterns = [
        keys.ROWS % (held.tenant, held.job_id, "*"),
        keys.MARKS % (held.tenant, held.job_id),
    ]
    names: list[Any] = [name for each in patterns for name in client.scan_iter(each, count=1000)]
    return sum(client.memory_usage(name) or 0 for name in names)


if __name__ == "__main__":
    main()
