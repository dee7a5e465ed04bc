"""
A trainer: ``python -m worker.trainer DEVICE HEARS SAYS PARENT``, started by a worker.

It imports all that training needs, says on the pipe SAYS that it is ready, then waits on HEARS for
jobs, trains one at a time, and says what became of each. It ends when the pipe is closed or its
worker dies.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from typing import IO, TYPE_CHECKING

from jobs.calls import Held
from jobs.settings import Settings
from jobs.tether import die_with_parent
from worker.gpu import gpu_name, lock_gpu

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

log = logging.getLogger(__name__)

IDLE_NICENESS = 10
"""Priority of the imports, so that they do not slow down the job that runs beside them."""


def main() -> None:
    """Prepare, then train what comes."""
    device, hears, says, parent = sys.argv[1], *(int(arg) for arg in sys.argv[2:5])
    die_with_parent(signal.SIGKILL, parent)
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
    if device == "cuda":  # before anything touches it: imports make a first step there
        lock_gpu(Settings().run_dir, gpu_name())
    _in_background(_imports)

    from worker.workshop import Workshop  # noqa: PLC0415  imported by now, at low priority

    workshop = Workshop(device, leaving)
    with os.fdopen(hears) as jobs, os.fdopen(says, "w") as answers:
        _say(answers, {"fingerprint": workshop.fingerprint})
        for line in jobs:
            working.set()
            held = Held(**json.loads(line))
            outcome, clean = workshop.train(held)
            clean = clean and not leaving.is_set()  # who is to leave would give the next one back
            working.clear()
            _say(answers, {"job_id": held.job_id, "outcome": outcome, "clean": clean})
            if not clean or leaving.is_set():
                logging.shutdown()
                os._exit(0)  # a second or more of tidying up, on a busy machine, would help nobody


def _say(answers: IO[str], message: dict[str, object]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _in_background(work: Callable[[], None]) -> None:
    """Run *work* in a thread of low priority (on Linux priority belongs to threads)."""

    def run() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), IDLE_NICENESS)
        work()

    thread = threading.Thread(target=run, name="imports")
    thread.start()
    thread.join()


def _imports() -> None:
    from worker.workshop import warm_up  # noqa: PLC0415  seconds of imports

    warm_up()


if __name__ == "__main__":
    main()
