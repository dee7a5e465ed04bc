"""
Measures the time from a death to the next attempt: ``python -m benchmarks.recovery``.

There are two workers with default settings, one of which trains a job. Its processes are killed or
stopped, and the clock runs until the job's next attempt has begun. The floor is the lease: the
store waits that long for a silent worker, since its network may only be slow.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.chaos.strikes import trainer_of
from benchmarks.harness import duration
from optserve.client import Client
from optserve.contract.answers.workers import Worker
from optserve.contract.states import State
from optserve.local import stack
from optserve.local.stack import Stack
from store.settings import Settings

TIMES = 5
WANTED_S = 35.0
PATIENCE_S = 120.0
JOB: dict[str, Any] = {
    "model": {"kind": "mlp", "hidden": [32]},
    "dataset": {"kind": "digits", "batch_size": 100},
    "optimizer": {"kind": "adam", "lr": 0.01},
    "training": {"steps": 50_000_000, "checkpoint_every": 1000},
}


def main() -> None:
    """Run the benchmark and print the results."""
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        stack.running(home=Path(home), port=0, workers=2) as running,
        Client(running.url) as client,
    ):
        print(f"\n### Recovery (lease {Settings().lease_s:g} s)\n")
        print("| killed or stopped | median | longest | wanted | times |\n|---|---|---|---|---|")
        for name, hurt in HURTS.items():
            took = sorted(recovered_s(running, client, hurt) for _ in range(TIMES))
            verdict = "" if took[-1] <= WANTED_S else " (missed)"
            print(
                f"| {name} | **{duration(took[TIMES // 2])}** | {duration(took[-1])} "
                f"| {duration(WANTED_S)}{verdict} | {TIMES} |",
                flush=True,
            )


def recovered_s(running: Stack, client: Client, hurt: Callable[[Worker], list[int]]) -> float:
    """Kill or stop the processes that train a job; return the seconds until its next attempt."""
    until(
        "two workers are ready",
        running,
        lambda: sum(w.state == "idle" and bool(w.fingerprint) for w in there(client)) > 1,
    )
    job_id = client.submit(JOB).id
    until("the job trains", running, lambda: client.job(job_id).step > 0)
    job = client.job(job_id)
    (worker,) = [worker for worker in there(client) if worker.id == job.worker]
    stopped = hurt(worker)
    began = time.monotonic()
    until("it trains again", running, lambda: client.job(job_id).attempt > job.attempt)
    took = time.monotonic() - began
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    client.kill(job_id)
    until("it is over", running, lambda: client.job(job_id).state is State.CANCELLED)
    return took


def there(client: Client) -> list[Worker]:
    """Return the workers whose process is running."""
    return [worker for worker in client.workers() if Path(f"/proc/{worker.pid}").exists()]


def until(what: str, running: Stack, condition: Callable[[], bool]) -> None:
    """Wait until *condition* returns True; meanwhile, restart parts of the stack that have died."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what}"
        running.supervise()
        time.sleep(0.05)


def trainer_killed(worker: Worker) -> list[int]:
    """Kill only the trainer; return the stopped processes: none."""
    trainer = trainer_of(worker.pid)
    assert trainer is not None
    os.kill(trainer, signal.SIGKILL)
    return []


def worker_killed(worker: Worker) -> list[int]:
    """Kill the worker, with which its trainer dies; return the stopped processes: none."""
    os.kill(worker.pid, signal.SIGKILL)
    return []


def both_stopped(worker: Worker) -> list[int]:
    """Stop worker and trainer, as if their network had failed; return both process ids."""
    trainer = trainer_of(worker.pid)
    assert trainer is not None
    for pid in (worker.pid, trainer):
        os.kill(pid, signal.SIGSTOP)
    return [worker.pid, trainer]


HURTS = {
    "trainer, SIGKILL": trainer_killed,
    "worker, SIGKILL": worker_killed,
    "worker and trainer, SIGSTOP": both_stopped,
}

if __name__ == "__main__":
    main()
