"""
Measures the time to chart a long job: ``python -m benchmarks.charts``.

A million steps are in a real store, and a separate API process responds over loopback. Requests for
each kind of chart alternate with a request that does nothing (`/healthz`: the cost of HTTP itself)
and a request for the first page of rows. All rows are read once as pages, as a client without
charts would read them. Cold is the first chart of a job that the process has not read before.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import redis

from benchmarks.harness import duration, machine
from optserve.contract.requests.job import JobSpec
from optserve.local.embedded import EmbeddedServer
from optserve.local.ports import listening_port
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.jobs.series import PLAIN
from store.redis.connect import connect
from store.redis.functions import send
from store.redis.server import prepare

LEASE_MS = 600_000
AT_ONCE = 2**16
GROWS_BY = 1000
COMPARED = 8
WANTED_S = 0.03
POINTS = {"columns": "loss", "max_points": 2000}


def main() -> None:
    """Run the benchmark and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each job")
    parser.add_argument("--times", type=int, default=200, help="each chart is asked for")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        EmbeddedServer(Path(home)) as server,
        connect(server.url) as store,
    ):
        prepare(store)
        jobs = [filled(store, chosen.rows, seed) for seed in range(COMPARED)]
        with service(server.url, Path(home)) as http:
            measure(store, http, jobs, chosen.rows, chosen.times)


def measure(
    store: redis.Redis, http: httpx.Client, jobs: list[Claim], rows: int, times: int
) -> None:
    """Request every kind of chart, and print how long the responses took."""
    path = f"/v1/jobs/{jobs[0].job_id}/metrics"
    middle = {"first": rows // 2, "last": rows // 2 + rows // 100}
    close = {"first": rows // 2, "last": rows // 2 + 999}
    several = {"job": [job.job_id for job in jobs], "max_points": 1000}
    cold = [asked(http, f"/v1/jobs/{job.job_id}/metrics/chart", POINTS) for job in jobs]
    grown = rows

    def growing() -> None:
        nonlocal grown
        append(store, jobs[0], grown, GROWS_BY, seed=grown)
        grown += GROWS_BY

    kinds: dict[str, Callable[[], float]] = {
        "nothing (/healthz)": lambda: asked(http, "/healthz", {}),
        "chart, warm": lambda: asked(http, f"{path}/chart", POINTS),
        "chart, both columns": lambda: asked(http, f"{path}/chart", {"max_points": 2000}),
        "zoom to a hundredth": lambda: asked(http, f"{path}/chart", {**POINTS, **middle}),
        "zoom to 1,000 steps": lambda: asked(http, f"{path}/chart", {**POINTS, **close}),
        f"{COMPARED} jobs compared": lambda: asked(http, "/v1/metrics/chart", several),
        "first page of 10,000 rows": lambda: asked(http, path, {"limit": 10_000}),
    }
    taken: dict[str, list[float]] = {name: [] for name in [*kinds, "chart, growing"]}
    for _ in range(times):
        for name, kind in kinds.items():
            taken[name].append(kind())
    for _ in range(times):
        growing()
        taken["chart, growing"].append(asked(http, f"{path}/chart", POINTS))
    print(f"\n### Charts\n\n{machine()}; {rows} steps, {times} times each\n")
    print("| | p50 | p99 | wanted |\n|---|---|---|---|")
    print(line(f"chart, cold ({COMPARED} jobs)", cold, None))
    for name, seconds in taken.items():
        print(line(name, seconds, WANTED_S if name.startswith("chart") else None))
    print(f"\nall rows as pages of 10,000: {duration(pages(http, path, rows))}")


def line(name: str, seconds: list[float], wanted_s: float | None) -> str:
    """Return a row of the Markdown table."""
    p50, p99 = statistics.median(seconds), float(np.quantile(seconds, 0.99))
    missed = "" if wanted_s is None or p50 <= wanted_s else " (missed)"
    wanted = "" if wanted_s is None else f"p50 {duration(wanted_s)}{missed}"
    return f"| {name} | {duration(p50)} | {duration(p99)} | {wanted} |"


def asked(http: httpx.Client, path: str, params: dict[str, object]) -> float:
    """Return the seconds from a request to the end of its response."""
    start = time.perf_counter()
    response = http.get(path, params=params)  # type: ignore[arg-type]  # numbers, text, lists of it
    took = time.perf_counter() - start
    response.raise_for_status()
    return took


def pages(http: httpx.Client, path: str, rows: int) -> float:
    """Return the seconds for reading all rows, page after page, without parsing them."""
    return sum(
        asked(http, path, {"after": first - 1, "limit": 10_000}) for first in range(0, rows, 10_000)
    )


def filled(store: redis.Redis, rows: int, seed: int) -> Claim:
    """Create a running job with *rows* rows; return the claim on it."""
    spec = JobSpec.parse(
        {
            "model": {"kind": "mlp"},
            "dataset": {"kind": "digits"},
            "optimizer": {"kind": "adam"},
            "training": {"steps": 2 * rows + 1_000_000, "device": "cpu"},
        }
    )
    call = calls.submit("local", new_id(), new_fields(spec), idempotency_key="", body_sha="")
    send(store, call)
    token = new_id()
    claim = calls.claim("bench", device="cpu", fingerprint="f", token=token, lease_ms=LEASE_MS)
    record = send(store, claim)
    assert record is not None
    held = Claim(record.tenant, record.id, token)
    for first in range(0, rows, AT_ONCE):
        append(store, held, first, min(AT_ONCE, rows - first), seed=seed + first)
    return held


def append(store: redis.Redis, held: Claim, first: int, count: int, *, seed: int) -> None:
    """Store *count* more rows as a worker does: a falling loss curve with noise."""
    random = np.random.default_rng(seed)
    steps = np.arange(first, first + count)
    loss = 2.3 / (1 + steps / 1000) + random.exponential(0.05, count)
    data = np.stack([np.full(count, 0.001), loss], axis=1).astype("<f8").tobytes()
    call = calls.append(held, first=first, width=PLAIN.width, data=data, lease_ms=LEASE_MS)
    send(store, call)


@contextlib.contextmanager
def service(store_url: str, home: Path) -> Iterator[httpx.Client]:
    """Start an API process; yield an HTTP client for it."""
    port = listening_port("127.0.0.1", 0)
    settings = {
        "OPTSERVE_REDIS_URL": store_url,
        "OPTSERVE_HOME": str(home),
        "OPTSERVE_PORT": str(port),
        "OPTSERVE_LEASE_S": "600",
    }
    process = subprocess.Popen([sys.executable, "-m", "api.app"], env={**os.environ, **settings})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            wait_for(http)
            yield http
    finally:
        process.terminate()
        process.wait()


def wait_for(http: httpx.Client) -> None:
    """Wait until the service responds."""
    while True:
        with contextlib.suppress(httpx.TransportError):
            http.get("/healthz").raise_for_status()
            return
        time.sleep(0.05)


if __name__ == "__main__":
    main()
