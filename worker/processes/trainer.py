"""
A trainer: a process that is forked from the fork server, for a worker.

It does once what a first step needs, says on a pipe that it is ready, then waits on another for
jobs, trains one at a time, and says that it begins each and what became of it. It ends when the
pipe is closed or its worker dies.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from types import FrameType
from typing import IO

from store.jobs.calls import Claim
from store.settings import Settings
from worker.attempt.runner import Workshop, warm_up
from worker.processes.gpu import gpu_name, lock_gpu

log = logging.getLogger(__name__)


def main(device: str, hears: int, says: int) -> None:
    """
    Prepare, then train what comes.

    Args:
        device: what to train on: cpu or cuda.
        hears: descriptor that jobs come from.
        says: descriptor for what is to be said.
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the worker's business
    if device == "cuda":  # before anything touches it
        lock_gpu(Settings().run_dir, gpu_name())
    warm_up()
    workshop = Workshop(device, leaving)
    with os.fdopen(hears) as jobs, os.fdopen(says, "w") as answers:
        _say(answers, {"fingerprint": workshop.fingerprint})
        for line in jobs:
            working.set()
            held = Claim(**json.loads(line))
            _say(answers, {"begins": held.job_id})
            outcome, clean, bells = workshop.train(held)
            clean = clean and not leaving.is_set()  # who is to leave would give the next one back
            working.clear()
            said = {"job_id": held.job_id, "outcome": outcome, "clean": clean, "bells": bells}
            _say(answers, said)
            if not clean or leaving.is_set():
                logging.shutdown()
                os._exit(0)  # a second or more of tidying up, on a busy machine, would help nobody


def _say(answers: IO[str], message: dict[str, object]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()
