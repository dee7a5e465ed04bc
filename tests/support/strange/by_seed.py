"""Trainers that hang or die at step 5 of jobs with certain seeds."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

from optcore.training.reports import Report
from tests.support.strange import put, train, work

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


def _change() -> None:
    from optcore.training import loop  # noqa: PLC0415  not in the worker
    from optcore.training.run import Run  # noqa: PLC0415
    from worker.attempt import attempt  # noqa: PLC0415

    really = loop.train

    def misled(run: Run) -> Iterator[Report]:
        for report in really(run):
            yield report
            if run.row >= AT_STEP and run.spec.training.seed in DEEDS:
                sys.stderr.write(f"{MARK}{time.time()}\n")
                DEEDS[run.spec.training.seed]()

    put(attempt, train=misled)


def main(device: str, hears: int, says: int) -> None:
    """Be a trainer."""
    train(_change, device, hears, says)


if __name__ == "__main__":
    work("by_seed")
