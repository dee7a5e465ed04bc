"""
Compares this checkout with another one: ``python -m benchmarks.releases FOLDER``.

Each checkout runs a service with a separate home and one worker on this machine. Both services get
the same requests in turn, over plain HTTP. FOLDER is a checkout of an earlier release or commit,
made for example with ``git worktree add ../before 0.2.0``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.harness import Comparison, compare, show
from optserve.local.ports import HOST, listening_port, url_at

ROOT = Path(__file__).parents[1]
PAIRS = 25
START_S = 120.0
SUBMITTED = 20
"""Number of jobs posted one after another for one measurement of `submit` or of a plan."""
REPORTED = 2000
"""Number of steps in the job whose steps are timed."""
LONG_STEPS = 30_000
JOB: dict[str, Any] = {
    "model": {"kind": "mlp", "hidden": [32]},
    "dataset": {"kind": "digits", "batch_size": 100},
    "optimizer": {"kind": "adam", "lr": 0.001},
    "training": {"steps": 15, "evaluate_every": None, "checkpoint_every": None},
}


def job(**training: object) -> dict[str, Any]:
    """Return the spec of a job with these fields in ``training``."""
    return {**JOB, "training": {**JOB["training"], **training}}


class Served:
    """The service of a checkout."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60)
        self.long = ""
        self._width = 0

    def submit(self) -> float:
        """Return the seconds that a POST of a job takes; no worker takes the job."""
        body = job(device="cuda")
        start = time.perf_counter()
        posted = [self._post(body) for _ in range(SUBMITTED)]
        took = (time.perf_counter() - start) / SUBMITTED
        for job_id in posted:
            self._http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
        return took

    def validate(self) -> float:
        """Return the seconds that the plan of a job takes, which is asked for again and again."""
        return self._plans([JOB] * SUBMITTED)

    def validate_others(self) -> float:
        """Return the seconds that a plan takes if each is of another network."""
        # Of other widths in each measurement, as nothing of them is to be known before.
        self._width += SUBMITTED
        models = [{"kind": "mlp", "hidden": [self._width - i]} for i in range(SUBMITTED)]
        return self._plans([{**JOB, "model": model} for model in models])

    def _plans(self, bodies: list[dict[str, Any]]) -> float:
        start = time.perf_counter()
        for body in bodies:
            self._http.post("/v1/jobs/validate", json=body).raise_for_status()
        return (time.perf_counter() - start) / len(bodies)

    def first_step(self) -> float:
        """Return the seconds from the POST of a job to the first row in its stream."""
        return self._followed(job())[0]

    def steps(self) -> float:
        """Return the seconds per reported step, from the first row to the end of the stream."""
        first, end = self._followed(job(steps=REPORTED))
        return (end - first) / REPORTED

    def checkpoints(self) -> float:
        """Return the seconds from first row to end of a job that writes 40 checkpoints."""
        first, end = self._followed(job(steps=400, checkpoint_every=10))
        return end - first

    def train_long(self) -> None:
        """Train the long job that `chart` and `page` read."""
        self.long = self._post(job(steps=LONG_STEPS))
        self._follow(self.long)

    def chart(self) -> float:
        """Return the seconds that a chart of the long job takes."""
        return self._get(f"/v1/jobs/{self.long}/metrics/chart?max_points=1000")

    def page(self) -> float:
        """Return the seconds that a page of 10,000 rows takes."""
        return self._get(f"/v1/jobs/{self.long}/metrics?limit=10000")

    def _get(self, path: str) -> float:
        start = time.perf_counter()
        self._http.get(path).raise_for_status()
        return time.perf_counter() - start

    def _post(self, body: dict[str, Any]) -> str:
        return str(self._http.post("/v1/jobs", json=body).raise_for_status().json()["id"])

    def _followed(self, body: dict[str, Any]) -> tuple[float, float]:
        """Return the seconds from the POST of a job to its first row, and to its end."""
        start = time.perf_counter()
        first = self._follow(self._post(body))
        end = time.perf_counter() - start
        time.sleep(0.3)  # the worker is idle again
        return first - start, end

    def _follow(self, job_id: str) -> float:
        """Read a stream to its end; return the time at which the first row arrived."""
        first = 0.0
        with self._http.stream("GET", f"/v1/jobs/{job_id}/metrics/stream") as stream:
            for line in stream.iter_lines():
                # Only events with rows have an id: the step after which to resume.
                if line.startswith("id:") and not first:
                    first = time.perf_counter()
        return first


@contextmanager
def served(checkout: Path) -> Iterator[Served]:
    """Run the service of a checkout; yield it once it is ready."""
    port = listening_port(HOST, 0)
    with tempfile.TemporaryDirectory(prefix="optserve-bench-") as home:
        command = [sys.executable, "-m", "optserve", "up", "--home", home, "--port", str(port)]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        with (Path(home) / "up.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--workers", "1"], cwd=checkout, env=environment, stdout=log, stderr=log
            )
        try:
            url = url_at(HOST, port)
            wait_until_ready(url, process)
            yield Served(url)
        finally:
            process.terminate()
            process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the service accepts jobs and has a worker."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            workers = httpx.get(f"{url}/v1/workers").json()["data"]
            if workers and httpx.get(f"{url}/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"the service at {url} is not ready after {START_S:g} s")


def main() -> None:
    """Run the benchmark and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="another checkout")
    folder = parser.parse_args().folder.resolve()
    with ExitStack() as stack:
        ours, before = (stack.enter_context(served(each)) for each in (ROOT, folder))
        for each in (ours, before):
            each.train_long()

        def measured(name: str, what: Callable[[Served], float]) -> Comparison:
            return compare(
                name, lambda: what(ours), lambda: what(before), pairs=PAIRS, peer_name=folder.name
            )

        show(
            "This checkout beside another",
            [
                measured("submit", Served.submit),
                measured("validate", Served.validate),
                measured("validate, each another network", Served.validate_others),
                measured("submit to first step", Served.first_step),
                measured("a step of the loop, reported", Served.steps),
                measured("400 steps with 40 checkpoints", Served.checkpoints),
                measured(f"chart of {LONG_STEPS:,} steps", Served.chart),
                measured("10,000 rows", Served.page),
            ],
        )


if __name__ == "__main__":
    main()
