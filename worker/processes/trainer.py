"""
A trainer: a process, forked by a worker's fork server, that trains one job at a time.

It exchanges JSON lines with the worker on two pipes:

- First it trains a small run to warm up. It writes ``{"fingerprint": F}`` when it is ready.
- Then it reads jobs: ``{"claim": {...}, "record": {...}}``. The worker sends the record so that the
  trainer need not read it from Redis.
- For each job, it writes ``{"begins": ID}`` at the start, and ``{"job_id": ID, "outcome": O,
  "clean": C, "wakeups": W}`` at the end. C says whether the process may train another job.

It exits after a job for which C is false, when its input pipe is closed, and when its worker dies.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import IO

from store.jobs.calls import Claim
from store.jobs.record import Record
from store.settings import Settings
from worker.attempt.runner import JobRunner, warm_up
from worker.processes.gpu import gpu_name, lock_gpu

log = logging.getLogger(__name__)


def main(
    device: str,
    reads: int,
    writes: int,
    *,
    make_runner: Callable[[str, threading.Event], JobRunner] = JobRunner,
) -> None:
    """
    Warm up, then train each job that the worker sends.

    Args:
        device: the device to train on: cpu or cuda.
        reads: the file descriptor that jobs are read from.
        writes: the file descriptor that answers are written to.
        make_runner: a function that creates the runner of the jobs, from the device and an event
            that is set when the trainer should stop.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s trainer %(levelname)s %(message)s", force=True
    )
    leaving, working = threading.Event(), threading.Event()

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        del number, frame
        leaving.set()
        if not working.is_set():
            sys.exit()

    signal.signal(signal.SIGTERM, on_sigterm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker handles Ctrl-C
    if device == "cuda":  # before anything uses the GPU
        lock_gpu(Settings().run_dir, gpu_name())
    warm_up()
    runner = make_runner(device, leaving)
    with os.fdopen(reads) as jobs, os.fdopen(writes, "w") as answers:
        _write(answers, {"fingerprint": runner.fingerprint})
        for line in jobs:
            # From here on, SIGTERM lets the run be saved. Before that, it ends the process, and the
            # worker gives the job to another trainer, since nothing was done for it yet.
            working.set()
            job = json.loads(line)
            claim, record = Claim(**job["claim"]), Record(job["record"])
            # After this, the death of the trainer counts against the job, which may be its cause.
            _write(answers, {"begins": claim.job_id})
            outcome, clean, wakeups = runner.train(claim, record)
            # A trainer that should stop would only release its next job.
            clean = clean and not leaving.is_set()
            working.clear()
            answer = {"job_id": claim.job_id, "outcome": outcome, "clean": clean}
            _write(answers, {**answer, "wakeups": wakeups})
            if not clean or leaving.is_set():
                # `os._exit` flushes nothing.
                logging.shutdown()
                os._exit(0)  # the interpreter's own end takes a second or more on a busy machine


def _write(answers: IO[str], message: dict[str, object]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()
