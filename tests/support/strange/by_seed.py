"""Trainers that hang or die at step 5 of jobs with certain seeds."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.support.strange import work

if TYPE_CHECKING:
    from optcore.training.reports import Report
    from optcore.training.run import Run

SLEEPS, SLEEPS_ALONE, SPINS, DIES = 101, 102, 103, 104
"""Seeds: of a run that sleeps; that does so in C and lets no other thread run; that computes for
ever; whose process is killed."""
AT_STEP = 5
MARK = "now it happens: "


def _spin() -> None:
    while True:
        pass


DEEDS: dict[int, Callable[[], object]] = {
    SLEEPS: lambda: time.sleep(1000),
    SLEEPS_ALONE: lambda: ctypes.PyDLL(None).sleep(1000),
    SPINS: _spin,
    DIES: lambda: os.kill(os.getpid(), signal.SIGKILL),
}


def _misled(run: Run) -> Iterator[Report]:
    """Make the steps of *run*, and do at AT_STEP what its seed says."""
    from optcore.training import loop  # noqa: PLC0415  not in the worker

    for report in loop.train(run):
        yield report
        if run.row >= AT_STEP and run.spec.training.seed in DEEDS:
            sys.stderr.write(f"{MARK}{time.time()}\n")
            DEEDS[run.spec.training.seed]()


def main(*begin: Any) -> None:
    """Be a trainer."""
    from worker.attempt.runner import JobRunner  # noqa: PLC0415  not in the worker
    from worker.processes import trainer  # noqa: PLC0415

    trainer.main(*begin, make_runner=partial(JobRunner, train=_misled))


if __name__ == "__main__":
    work("by_seed")
