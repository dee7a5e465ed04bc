"""
A trainer: a process forked from the fork server of a worker, which trains one job at a time.

It speaks JSON lines on two pipes. First it makes the steps of a small run, and writes
``{"fingerprint": F}``: it is ready. Then it reads jobs, ``{"claim": {...}, "record": {...}}``, and
answers each with ``{"begins": ID}``, and at its end ``{"job_id", "outcome", "clean", "wakeups"}``.
The record is the one that the worker has claimed, so that a trainer need not read it again. A
trainer ends when its pipe is closed or its worker dies.
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
    Prepare, then train the jobs that come.

    Args:
        device: what to train on: cpu or cuda.
        reads: descriptor that jobs come from.
        writes: descriptor for answers.
        make_runner: returns what trains them, for a device and a flag that says to leave.
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the worker's to handle
    if device == "cuda":  # before anything touches it
        lock_gpu(Settings().run_dir, gpu_name())
    warm_up()
    runner = make_runner(device, leaving)
    with os.fdopen(reads) as jobs, os.fdopen(writes, "w") as answers:
        _write(answers, {"fingerprint": runner.fingerprint})
        for line in jobs:
            # From here on SIGTERM lets the run be saved. Until then it ends the process, and the
            # worker gives the job to another trainer, as nothing was done about it.
            working.set()
            job = json.loads(line)
            claim, record = Claim(**job["claim"]), Record(job["record"])
            # After this, the death of the trainer counts against the job: that may be its cause.
            _write(answers, {"begins": claim.job_id})
            outcome, clean, wakeups = runner.train(claim, record)
            # A trainer that is to leave would give its next job back.
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
