"""
Measures the store's functions with 1,000 workers and 20,000 queued jobs.

The store runs one command at a time, so only the server's own time counts, as the server reports it
(``INFO commandstats``), without the network and this process. The floor is an empty function.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import redis

from benchmarks.harness import duration, machine
from optserve.contract.requests.job import JobSpec
from optserve.local.embedded import EmbeddedServer
from store.jobs import calls
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.jobs.record import SUMMARY
from store.redis import keys
from store.redis.connect import connect
from store.redis.functions import Call, send
from store.redis.server import prepare

WORKERS, QUEUED, LOST = 1000, 20_000, 100
CLASSES = (("cpu", "f0"), ("cpu", "f1"), ("cuda", "f2"), ("cuda", "f3"))
"""Device and fingerprint of the workers, assigned in turn."""
SAMPLES = 100
DAY_MS = 24 * 3600 * 1000
JOB: dict[str, Any] = {
    "name": "mnist, adam, cosine",
    "labels": {"team": "ocr"},
    "model": {"kind": "mnist_cnn"},
    "dataset": {"kind": "mnist", "batch_size": 100},
    "optimizer": {"kind": "adam", "lr": 0.001},
    "training": {"epochs": 5},
}
FIELDS = new_fields(JobSpec.parse(JOB))
WANTED = {
    "submit": 1e-3,
    "look at a queued job": 1e-3,
    "claim": 1e-3,
    "list of 100 queued": 5e-3,
    "reap": 5e-3,
    f"reap {LOST} lost leases": 50e-3,
}


def main() -> None:
    """Run the benchmark and print the results."""
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        EmbeddedServer(Path(home)) as server,
        connect(server.url) as client,
    ):
        prepare(client)
        client.config_set("appendfsync", "no")  # the disk is not what is measured
        ids = fill(client)
        print(f"## {WORKERS:,} workers, {QUEUED:,} queued jobs\n\n{machine()}\n")
        print("| | server time, median | maximum | wanted |\n|---|---|---|---|")
        show("an empty function", measure(client, calls.version))
        for name, calls_of in work(client, ids).items():
            show(name, measure(client, calls_of), WANTED[name])


def fill(client: redis.Redis) -> list[str]:
    """Register workers and queue jobs; return the ids of the jobs."""
    for i in range(WORKERS):
        device, fingerprint = CLASSES[i % len(CLASSES)]
        hello = calls.hello(
            f"w{i}",
            ttl_ms=DAY_MS,
            claim=None,
            device=device,
            fingerprint=fingerprint,
            host="here",
            pid=i,
        )
        send(client, hello)
    ids = [new_id() for _ in range(QUEUED)]
    for job_id in ids:
        send(client, submission(job_id))
    return ids


def work(client: redis.Redis, ids: Sequence[str]) -> dict[str, Callable[[], Call[Any]]]:
    """Return the measurements: name -> function that returns the next call."""
    some, workers = iter(ids[5 :: QUEUED // SAMPLES - 1]), count()

    def claim() -> Call[Any]:
        i = next(workers) % WORKERS
        device, fingerprint = CLASSES[i % len(CLASSES)]
        return calls.claim(
            f"w{i}", device=device, fingerprint=fingerprint, token=new_id(), lease_ms=DAY_MS
        )

    def reap() -> Call[Any]:
        return calls.reap(limit=LOST, lease_ms=0)

    def reap_lost() -> Call[Any]:
        while client.zcard(keys.LEASES) < LOST:
            send(client, claim())
        members: Any = client.zrange(keys.LEASES, 0, -1)
        client.zadd(keys.LEASES, dict.fromkeys(members, 1))
        return reap()

    return {
        "submit": lambda: submission(new_id()),
        "look at a queued job": lambda: calls.look("local", next(some)),
        "list of 100 queued": lambda: calls.summaries("local", SUMMARY, ids[-100:]),
        "claim": claim,
        "reap": reap,
        f"reap {LOST} lost leases": reap_lost,
    }


def submission(job_id: str) -> Call[Any]:
    """Return the call that submits a job."""
    fields = FIELDS
    return calls.submit("local", job_id, fields, idempotency_key=job_id, body_sha="s")


def measure(client: redis.Redis, call_of: Callable[[], Call[Any]]) -> list[float]:
    """Return the seconds for which each of `SAMPLES` calls kept the server busy, sorted."""
    found = []
    for _ in range(SAMPLES):
        call = call_of()
        before = busy_us(client)
        send(client, call)
        found.append((busy_us(client) - before) / 1e6)
    return sorted(found)


def busy_us(client: redis.Redis) -> int:
    """Return the microseconds for which functions have kept the server busy so far."""
    stats = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("usec", 0) for name in ("fcall", "fcall_ro"))


def show(name: str, seconds: Sequence[float], wanted: float | None = None) -> None:
    """Print a row of the table."""
    median = seconds[len(seconds) // 2]
    limit = "" if wanted is None else duration(wanted) + ("" if median <= wanted else " (missed)")
    print(f"| {name} | {duration(median)} | {duration(seconds[-1])} | {limit} |")


if __name__ == "__main__":
    main()
