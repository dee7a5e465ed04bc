"""
Measures the queue: how fast jobs are accepted, and the cost of requests while many jobs wait.

A job is accepted when it is on disk: the server writes with ``appendfsync always``, and replies
after that. The peer is RQ's bare enqueue on the same server, without checking a spec, and without
record, history and HTTP. Clients post from threads of a separate process, on the same two cores.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from benchmarks.harness import compare, duration, machine, median_interval, show, spread
from optserve.contract.requests.job import JobSpec
from optserve.local import stack
from store.jobs import calls
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.redis import keys
from store.redis.connect import connect
from store.redis.functions import send

JOB: dict[str, Any] = {
    "name": "mnist, adam, cosine",
    "labels": {"team": "ocr"},
    "model": {"kind": "mnist_cnn"},
    "dataset": {"kind": "mnist", "batch_size": 100},
    "optimizer": {"kind": "adam", "dialect": "paddle", "lr": 0.001},
    "schedule": {"kind": "cosine", "warmup": {"length": {"epochs": 1}}},
    "training": {"epochs": 5, "seed": 7},
}
PAIRS = 15
PER_PAIR = 200
CONNECTIONS = 8
QUEUED = 10_000
SAMPLES = 300
WANTED = {"claim": 20e-3, "page": 50e-3, "job": 20e-3}
WANTED_PER_S = 400
WANTED_BYTES = 4096


def main() -> None:
    """Run the benchmark and print the results."""
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        stack.running(home=Path(home), port=0, workers=0) as running,
        connect(running.redis_url) as client,
    ):
        queue = Queue("peer", connection=client, serializer=JSONSerializer)
        accepted = compare(
            "submit",
            lambda: submit(running.url),
            lambda: enqueue(queue),
            pairs=PAIRS,
            peer_name="RQ's bare enqueue",
        )
        show("The queue", [accepted])
        rates = [1 / seconds for seconds in accepted.ours]
        low, high = median_interval(rates)
        print(
            f"\nAccepted through HTTP, on disk: {sorted(rates)[len(rates) // 2]:.0f} jobs/s, 95 % "
            f"interval {low:.0f} to {high:.0f}, wanted {WANTED_PER_S}"
        )
        client.flushdb()
        waiting(client, running.url)


def submit(url: str) -> float:
    """Post jobs from a separate process; return the seconds per job."""
    command = [sys.executable, "-m", "benchmarks.queue", "post", url]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def post(url: str) -> float:
    """Post jobs from threads, each with its own connection; return the seconds per job."""
    ready = threading.Barrier(CONNECTIONS + 1)
    body = json.dumps(JOB)

    def some() -> None:
        # Not httpx: on the cores of the service it would cost as much as the service.
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.connect()
        ready.wait()
        for _ in range(PER_PAIR // CONNECTIONS):
            connection.request("POST", "/v1/jobs", body, {"Content-Type": "application/json"})
            with connection.getresponse() as response:
                assert response.status == HTTPStatus.CREATED, response.read()
                response.read()
        connection.close()

    threads = [threading.Thread(target=some) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    ready.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - start) / (PER_PAIR // CONNECTIONS * CONNECTIONS)


def enqueue(queue: Queue) -> float:
    """Enqueue `PER_PAIR` jobs with RQ, one after another; return the seconds per job."""
    start = time.perf_counter()
    for _ in range(PER_PAIR):
        queue.enqueue("benchmarks.queue.nothing")
    return (time.perf_counter() - start) / PER_PAIR


def nothing() -> None:
    """Do nothing: no worker runs the peer's jobs."""


def waiting(client: redis.Redis, url: str) -> None:
    """Measure requests and claims while many jobs wait; print a table."""
    ids = fill(client, QUEUED)
    print(
        f"\n### With {QUEUED:,} queued jobs\n\n{machine()}\n\n| | median | p99 | spread | wanted |"
    )
    print("|---|---|---|---|---|")
    with httpx.Client(base_url=url, timeout=30) as reader:
        some = iter(ids[:: QUEUED // SAMPLES])
        tell(
            "GET a job, with its place", lambda: reader.get(f"/v1/jobs/{next(some)}"), WANTED["job"]
        )
        tell("GET /v1/queue", lambda: reader.get("/v1/queue"), WANTED["page"])
        tell("a page of 20 jobs", lambda: reader.get("/v1/jobs"), WANTED["page"])
        tell("a page of 100", lambda: reader.get("/v1/jobs?limit=100"), WANTED["page"], samples=50)
        deep = iter(ids)
        tell(
            "a page of 20 from anywhere",
            lambda: reader.get("/v1/jobs", params={"state": "queued", "after": next(deep)}),
            WANTED["page"],
        )
    tell("claim", lambda: claim(client), WANTED["claim"])


def fill(client: redis.Redis, count: int) -> list[str]:
    """Put *count* jobs into the queue and return their ids; print the memory that each takes."""
    fields = new_fields(JobSpec.parse(JOB))
    client.config_set("appendfsync", "no")
    before = used(client)
    ids = [new_id() for _ in range(count)]
    for job_id in ids:
        send(client, calls.submit("local", job_id, fields, idempotency_key=job_id, body_sha="s"))
    client.config_set("appendfsync", "always")
    each = (used(client) - before) / count
    verdict = "" if each <= WANTED_BYTES else " (missed)"
    print(
        f"\nMemory per queued job: {each:.0f} bytes, wanted {WANTED_BYTES}{verdict}; of it, in one:"
    )
    for name in (keys.JOB, keys.EVENTS):
        key = name % ("local", ids[0])
        print(f"{key.split(':')[1]}: {client.memory_usage(key, samples=0)} bytes")
    return ids


def used(client: redis.Redis) -> int:
    """Return the size of the server's data in bytes."""
    return int(client.info("memory")["used_memory_dataset"])


def tell(name: str, work: Callable[[], object], wanted: float, *, samples: int = SAMPLES) -> None:
    """Print how long *work* takes, as a row of the table."""
    times = []
    for _ in range(samples):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    times.sort()
    p99 = times[int(0.99 * len(times))]
    verdict = "" if p99 <= wanted else " (missed)"
    print(
        f"| {name} | {duration(times[len(times) // 2])} | {duration(p99)} | {spread(times):.0%} "
        f"| p99 {duration(wanted)}{verdict} |"
    )


def claim(client: redis.Redis) -> None:
    """Claim the next job, as a worker does."""
    token = new_id()
    call = calls.claim("w", device="cpu", fingerprint="f", token=token, lease_ms=3_600_000)
    assert send(client, call) is not None


if __name__ == "__main__":
    if sys.argv[1:2] == ["post"]:
        print(post(sys.argv[2]))
    else:
        main()
