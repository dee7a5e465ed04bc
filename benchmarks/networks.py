"""
Measures what a network of 200 layers costs before it is built, and how soon others are refused.

``python -m benchmarks.networks`` prints the median and the 95th percentile, in milliseconds, of
``POST /v1/jobs/validate`` at the client for networks of 203 layers in 34 blocks, each of them other
than those before; the same in CPU time of the process, which other processes on the machine do not
lengthen; then the CPU time of the parts of that work, without HTTP; then that in which each of some
hostile networks is refused.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import redis

from api.app import create_app
from api.jobs.plan import plan_of
from optcore.plan.run_plan import RunPlan
from optcore.spec.errors import SpecError
from optserve.contract.requests.job import JobSpec
from optserve.local.embedded import EmbeddedServer
from store.redis.server import prepare
from store.settings import Settings

REPEATS = 100
Json = dict[str, Any]
Given = TypeVar("Given")
FLAT: Json = {"kind": "flatten"}
FC: Json = {"kind": "linear", "out_features": 10}
NORM: Json = {"kind": "batch_norm"}
RELU: Json = {"kind": "relu"}


def main() -> int:
    """Print the table."""
    waited, computed = asyncio.run(validated())
    line("validate, at the client", waited)
    line("validate, CPU time", computed)
    jobs = [job(i) for i in range(REPEATS)]
    parsed = [JobSpec.parse(each) for each in jobs]
    # Not of the jobs that were parsed: a network that has been seen is not checked again.
    others = [job(3 * REPEATS + i) for i in range(REPEATS)]
    line("  parse and check", [timed(JobSpec.parse, each) for each in others])
    line("  resolve the plan", [timed(RunPlan.of, spec) for spec in parsed])
    line("  dump the spec", [timed(dumped, spec) for spec in parsed])
    line("  the whole answer", [timed(plan_of, spec) for spec in parsed])
    for name, layers in hostile().items():
        best = min(timed(refuse, layers) for _ in range(5))
        print(f"{name:<36} refused in {best:6.1f} ms of CPU time")
    return 0


def line(name: str, taken: list[float]) -> None:
    """Print a row of the table."""
    print(f"{name:<36} {statistics.median(taken):6.1f} ms p50  {quantile(taken):6.1f} ms p95")


def quantile(taken: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(taken, n=20)[-1]


def dumped(spec: JobSpec) -> Json:
    """Return *spec* as JSON."""
    return spec.model_dump(mode="json")


def timed(work: Callable[[Given], object], given: Given) -> float:
    """Return the milliseconds of CPU time that *work* takes for *given*."""
    began = time.process_time()
    work(given)
    return 1000 * (time.process_time() - began)


def conv(channels: int) -> Json:
    """Return a convolution that keeps the size of the image."""
    return {
        "kind": "conv2d",
        "out_channels": channels,
        "kernel_size": 3,
        "padding": 1,
        "bias": False,
    }


def job(number: int) -> Json:
    """Return a job with a residual network of 203 layers, named so that no cache has seen it."""
    block: Json = {"kind": "residual", "layers": [conv(16), NORM, RELU, conv(16), NORM]}
    body = [layer for _ in range(33) for layer in (block, RELU)]
    last = {**FC, "name": f"fc{number}"}
    return of([conv(16), NORM, RELU, *body, {"kind": "global_pool"}, last])


def of(layers: list[Json]) -> Json:
    """Return a job with these layers."""
    return {
        "model": {"kind": "sequential", "layers": layers},
        "dataset": {"kind": "digits", "batch_size": 50},
        "optimizer": {"kind": "adam", "lr": 0.001},
        "schedule": {"kind": "cosine"},
        "training": {"epochs": 2},
    }


def repeated(times: int, layers: list[Json]) -> list[Json]:
    """Return *layers*, repeated."""
    return [{"kind": "repeat", "times": times, "layers": layers}]


def hostile() -> dict[str, list[Json]]:
    """Return networks that cost too much, by name."""
    deep = [FLAT, FC]
    for _ in range(2000):
        deep = [{"kind": "sequential", "layers": deep}]
    tied = {**FC, "name": "a", "share": {"weight": "a.weight"}}
    return {
        "10,000 layers": [FLAT, *[FC] * 10_000],
        "10,000 layers in lists": [FLAT, *[{"kind": "sequential", "layers": [FC] * 1999}] * 5],
        "2,000 wrong layers": [{"kind": "linear", "out_features": 0}] * 2000,
        "2,000 layers of an unknown kind": [{"kind": "conv2", "name": "a"}] * 2000,
        "a depth of 2,000": deep,
        "10**12 repetitions": [FLAT, *repeated(10_000, repeated(10_000, repeated(10_000, [FC])))],
        "10**9 parameters": [FLAT, *[{"kind": "linear", "out_features": 262_144}] * 2, FC],
        "2,000 layers, the last shares itself": [FLAT, *[FC] * 1998, tied],
        "a wrong shape, 10,000 times": [FLAT, *repeated(10_000, [{**FC, "out_features": 9}])],
    }


def refuse(layers: list[Json]) -> None:
    """Parse a job that is refused."""
    try:
        JobSpec.parse(of(layers))
    except SpecError:
        return
    raise AssertionError("accepted")


async def validated() -> tuple[list[float], list[float]]:
    """Return the milliseconds of each request: at the client, and in CPU time."""
    waited, computed = [], []
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as server:
        with redis.from_url(server.url) as connected:
            prepare(connected)
        app = create_app(Settings(OPTSERVE_REDIS_URL=server.url, home=Path(folder)))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        ):
            for i in range(REPEATS):
                began, busy = time.perf_counter(), time.process_time()
                answer = await client.post("/v1/jobs/validate", json=job(REPEATS + i))
                waited.append(1000 * (time.perf_counter() - began))
                computed.append(1000 * (time.process_time() - busy))
                answer.raise_for_status()
    return waited, computed


if __name__ == "__main__":
    raise SystemExit(main())
