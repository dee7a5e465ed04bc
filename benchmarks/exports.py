"""
Measures exports of a million steps: ``python -m benchmarks.exports``.

Ours: the whole series of an ended job over HTTP, in each format. *Cold* is the first request to a
new API process, *warm* any later one. The floor: the same bytes from a static file, also over HTTP.
For CSV there is also a peer that has all values in memory already: Python's csv.writer.
Memory is the peak of the API process minus its memory when idle.
"""

from __future__ import annotations

import contextlib
import csv
import http.client
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import redis

from benchmarks.harness import MIN_PAIRS, Comparison, compare, duration, show, timed
from optserve.contract.requests.job import JobSpec
from optserve.local.embedded import EmbeddedServer
from optserve.local.ports import listening_port
from store.archive.writer import archive
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.jobs.record import Record
from store.jobs.series import PLAIN
from store.redis import keys
from store.redis.connect import connect
from store.redis.functions import send
from store.redis.server import prepare
from store.storage.names import job_folder
from store.storage.storage import Storage
from store.storage.usable import require_usable

STEPS = 1_000_000
AT_A_TIME = 65_536
WANTED_S = {"parquet": 0.5, "arrow": 0.5, "csv": 3.0, "ndjson": 3.0}
WANTED_BYTES = 12
COLD = 3
"""Number of new processes per format."""
HOST = "127.0.0.1"


def main() -> None:
    """Run the benchmark and print the results."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else MIN_PAIRS
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        EmbeddedServer(Path(home)) as server,
        connect(server.url) as client,
    ):
        prepare(client)
        data = values()
        job = ended(client, data)
        move(client, Path(home), job)
        found = []
        for form, wanted in WANTED_S.items():
            colds = [first_of_all(server.url, Path(home), job, form) for _ in range(COLD)]
            with api(server.url, Path(home)) as (port, pid):
                found.append(warm(pid, port, job, form, home=Path(home), pairs=pairs))
            print(
                f"{form}, cold: median {duration(statistics.median(t for t, _ in colds))}, "
                f"wanted {duration(wanted)}; "
                f"peak {max(peak for _, peak in colds):.0f} MB above idle"
            )
        found.append(naive(data, pairs))
    show(f"Exports of {STEPS} steps, warm", found)


def values() -> np.ndarray[Any, Any]:
    """Return the rows: an lr (a cosine in float64), and a loss that was rounded to float32."""
    t = np.arange(STEPS)
    noise = np.random.default_rng(0).standard_normal(STEPS)
    lr = 0.0005 * (1 + np.cos(np.pi * t / STEPS))
    loss = (2.3 * np.exp(-t / 2e5) + 0.1 * np.abs(noise)).astype(np.float32)
    return np.column_stack([lr, loss.astype("<f8")])


def ended(client: redis.Redis, data: np.ndarray[Any, Any]) -> str:
    """Store a succeeded job with these rows; return its id."""
    spec = JobSpec.parse(
        {
            "model": {"kind": "mlp"},
            "dataset": {"kind": "digits"},
            "optimizer": {"kind": "adam"},
            "training": {"steps": STEPS, "device": "cpu"},
        }
    )
    call = calls.submit("local", new_id(), new_fields(spec), idempotency_key="", body_sha="")
    job, token = send(client, call).record.id, secrets.token_hex(16)
    claim = calls.claim("bench", device="cpu", fingerprint="f", token=token, lease_ms=60_000)
    assert send(client, claim) is not None
    held = Claim("local", job, token)
    for first in range(0, STEPS, AT_A_TIME):
        part = data[first : first + AT_A_TIME].tobytes()
        append = calls.append(held, first=first, width=PLAIN.width, data=part, lease_ms=60_000)
        send(client, append)
    send(client, calls.finish(held, rows=STEPS, digest="d", result={}, artifacts={}))
    return job


@contextlib.contextmanager
def api(store: str, home: Path) -> Iterator[tuple[int, int]]:
    """Run an API process; yield its port and its process id once it is ready."""
    port = listening_port(HOST, 0)
    environment = {"REDIS_URL": store, "OPTSERVE_HOME": str(home), "OPTSERVE_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "api.app"],
        env={**os.environ, **environment},
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            with contextlib.suppress(OSError):
                get(port, "/readyz")
                break
            time.sleep(0.05)
        time.sleep(1.5)  # the reaper's first rounds
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def move(client: redis.Redis, home: Path, job: str) -> None:
    """Move the rows to a file; print the time that it took and the memory left in the store."""
    storage = Storage(home / "storage")
    (storage.root / job_folder("local", job)).mkdir(parents=True)  # as its worker would have
    require_usable(client, storage)
    start = time.perf_counter()
    archive(client, storage, "local", job)
    took = time.perf_counter() - start
    raw: Any = client.hgetall(keys.JOB % ("local", job))
    size = (storage.root / Record.from_hash(raw).archive["rows"].path).stat().st_size
    sizes: Any = [client.memory_usage(name) for name in client.scan_iter(f"*{job}*")]
    verdict = "" if size <= WANTED_BYTES * STEPS else " (missed)"
    print(f"file: {size / STEPS:.2f} bytes a step, wanted {WANTED_BYTES}{verdict}")
    print(f"moved and verified in {duration(took)}; left in the store: {sum(sizes)} bytes")


def first_of_all(store: str, home: Path, job: str, form: str) -> tuple[float, float]:
    """Return the seconds and the megabytes that the first request to a new process takes."""
    with api(store, home) as (port, pid):
        idle = memory_mb(pid, "VmRSS")
        start = time.perf_counter()
        get(port, path_of(job, form))
        return time.perf_counter() - start, memory_mb(pid, "VmHWM") - idle


def warm(pid: int, port: int, job: str, form: str, *, home: Path, pairs: int) -> Comparison:
    """Compare our export with a static file that has the same bytes."""
    idle = memory_mb(pid, "VmRSS")
    target = home / f"job.{form}"
    target.write_bytes(get(port, path_of(job, form)))
    with static(home) as other:
        it = compare(
            f"{form}, {target.stat().st_size / 1e6:.1f} MB",
            timed(lambda: get(port, path_of(job, form))),
            timed(lambda: get(other, f"/{target.name}")),
            pairs=pairs,
            peer_name="static file",
        )
    middle, wanted = statistics.median(it.ours), WANTED_S[form]
    verdict = "" if middle <= wanted else " (missed)"
    print(
        f"\n{form}, warm: median {duration(middle)}, wanted {duration(wanted)}{verdict}; "
        f"peak {memory_mb(pid, 'VmHWM') - idle:.0f} MB above idle ({idle:.0f} MB)"
    )
    return it


@contextlib.contextmanager
def static(folder: Path) -> Iterator[int]:
    """Serve the files in *folder*; yield the port."""
    port = listening_port(HOST, 0)
    command = [sys.executable, "-m", "http.server", str(port), "--bind", HOST]
    process = subprocess.Popen(
        [*command, "--directory", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            with contextlib.suppress(OSError):
                get(port, "/")
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def naive(data: np.ndarray[Any, Any], pairs: int) -> Comparison:
    """Compare our encoder, alone, with csv.writer."""
    from api.metrics.encoders import Text  # noqa: PLC0415  the benchmark's own process

    def ours() -> None:
        text = Text(PLAIN, PLAIN.columns, csv=True)
        for first in range(0, STEPS, 8192):
            text.rows(first, data[first : first + 8192].tobytes())

    def peer() -> None:
        with open(os.devnull, "w") as file:
            rows = ([i, *row] for i, row in enumerate(data.tolist()))
            csv.writer(file).writerows(rows)

    return compare(
        "rows as CSV, in memory", timed(ours), timed(peer), pairs=pairs, peer_name="csv.writer"
    )


def get(port: int, path: str) -> bytes:
    """Return the body of the response from *port*; raise OSError unless its status is 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=120)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise OSError(f"{path}: {response.status} {body[:200]!r}")
    return body


def path_of(job: str, form: str) -> str:
    """Return the path of an export."""
    return f"/v1/jobs/{job}/metrics?format={form}"


def memory_mb(pid: int, name: str) -> float:
    """Return a process's memory in megabytes; *name* is VmRSS (now) or VmHWM (at its peak)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise ValueError(f"a process has no {name}")


if __name__ == "__main__":
    main()
