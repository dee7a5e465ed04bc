"""
A worker whose trainers note when each step was made: for `benchmarks.visible`.

Run as a program it is the worker, and its `main` is what the trainers are forked to do. The times
lie in memory while a run lasts, and are written at its end: they cost it nothing but a look at the
clock.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optcore.training.reports import Report
    from optcore.training.run import Run

TIMES = "BENCHMARK_TIMES"
"""Environment variable: the file to write, float64 seconds of CLOCK_MONOTONIC, one per step."""


def _noted(run: Run) -> Iterator[Report]:
    """Make the steps of *run*; write at its end when each was made."""
    # They bring torch, which the worker must do without.
    from optcore.training.loop import train  # noqa: PLC0415
    from optcore.training.reports import StepReport  # noqa: PLC0415

    times = array("d")
    for report in train(run):
        if isinstance(report, StepReport):
            times.append(time.monotonic())
        yield report
    Path(os.environ[TIMES]).write_bytes(times.tobytes())


def main(device: str, reads: int, writes: int) -> None:
    """Be a trainer."""
    from worker.attempt.runner import JobRunner  # noqa: PLC0415  see above
    from worker.processes import trainer  # noqa: PLC0415

    trainer.main(device, reads, writes, make_runner=partial(JobRunner, train=_noted))


def work() -> None:
    """Be a worker."""
    from worker import main as worker  # noqa: PLC0415  a trainer has no use for RQ

    worker.main(trainer_module="benchmarks.clocked")


if __name__ == "__main__":
    work()
