"""
Measures the time from submitting a job to its first step: ``python -m benchmarks.latency``.

Ours: a job of 15 steps on digits is posted over HTTP; the clock stops when its first row arrives
on its stream. The peer, on the same server: RQ's own worker, whose job imports torch and makes one
step, and whose client polls for the result every millisecond.
Back to back: two jobs are posted; the clock runs from the end of the first job to the first row of
the second, as both arrive on their streams.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rq import Queue
from rq.serializers import JSONSerializer

from benchmarks.harness import compare, duration, median_interval, show, spread
from optserve.client import Client
from optserve.contract.answers.metrics import StreamEnd
from optserve.local import stack
from store.redis.connect import connect

PAIRS = 15
IDLE_S = 0.25
BACK_TO_BACK_S = 0.5
JOB: dict[str, Any] = {
    "model": {"kind": "mlp", "hidden": [32]},
    "dataset": {"kind": "digits", "batch_size": 100},
    "optimizer": {"kind": "adam", "lr": 0.01},
    "training": {"epochs": 1},
}
PEER_QUEUE = "peer"


def main() -> None:
    """Run the benchmark and print the results."""
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        stack.running(home=Path(home), port=0, workers=1) as running,
        Client(running.url) as client,
        rq_worker(running.redis_url),
        connect(running.redis_url) as store,
    ):
        queue = Queue(PEER_QUEUE, connection=store, serializer=JSONSerializer)
        finish(client, client.submit(JOB).id)
        idle = compare(
            "submit to first step, idle",
            lambda: first_row(client),
            lambda: first_step_of_peer(queue),
            pairs=PAIRS,
            peer_name="RQ that imports torch",
        )
        between = [between_jobs(client) for _ in range(PAIRS)]
    show("Latency", [idle])
    print(f"\n{said(idle.ours, 'submit to first step, idle', IDLE_S)}")
    print(said(between, "end of a job to first step of the next", BACK_TO_BACK_S))


def said(times: Sequence[float], what: str, wanted: float) -> str:
    """Return a line of text with statistics of *times* and the wanted median."""
    low, high = median_interval(times)
    middle = sorted(times)[len(times) // 2]
    verdict = "" if middle <= wanted else " (missed)"
    return (
        f"{what}: median {duration(middle)}, 95 % interval {duration(low)} to {duration(high)}, "
        f"spread {spread(times):.0%}, wanted {duration(wanted)}{verdict}"
    )


def first_row(client: Client) -> float:
    """Post a job and wait for its end; return the seconds until its first row arrived."""
    start = time.perf_counter()
    job = client.submit(JOB)
    took = None
    for update in client.follow(job.id):
        if isinstance(update, list) and took is None:
            took = time.perf_counter() - start
    assert took is not None
    time.sleep(0.3)  # idle again
    return took


def finish(client: Client, job_id: str) -> None:
    """Wait until a job has ended."""
    for _ in client.follow(job_id):
        pass


def between_jobs(client: Client) -> float:
    """Post two jobs; return the seconds from the end of one to the first row of the other."""
    jobs = [client.submit(JOB).id, client.submit(JOB).id]
    times: dict[str, float] = {}

    def watch(job_id: str) -> None:
        with Client(client.url) as own:
            for update in own.follow(job_id):
                if isinstance(update, list):
                    times.setdefault(f"first {job_id}", time.perf_counter())
                elif isinstance(update, StreamEnd):
                    times[f"end {job_id}"] = time.perf_counter()

    threads = [threading.Thread(target=watch, args=(job_id,)) for job_id in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(0.0, times[f"first {jobs[1]}"] - times[f"end {jobs[0]}"])


@contextlib.contextmanager
def rq_worker(url: str) -> Iterator[None]:
    """Run RQ's own worker on the peer's queue."""
    code = (
        "import redis, rq; from rq.serializers import JSONSerializer; "
        f"rq.Worker(['{PEER_QUEUE}'], connection=redis.from_url('{url}'), "
        "serializer=JSONSerializer).work(logging_level='WARNING')"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def first_step_of_peer(queue: Queue) -> float:
    """Enqueue the peer's job; return the seconds until its first loss is in the store."""
    start = time.perf_counter()
    job = queue.enqueue("benchmarks.latency.peer_job")
    while not job.is_finished:
        time.sleep(0.001)
        job.refresh()  # type: ignore[no-untyped-call]  # rq has no types here
    return time.perf_counter() - start


def peer_job() -> float:
    """Make one step as a plain script would; return its loss."""
    import torch  # noqa: PLC0415  which is the point

    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss = torch.nn.functional.cross_entropy(model(torch.rand(100, 64)), torch.randint(10, (100,)))
    loss.backward()
    optimizer.step()
    return loss.item()


if __name__ == "__main__":
    main()
