"""
A worker whose trainers record when each step was made, for `benchmarks.visible`.

Run as a program, this module is the worker; forked trainers run its `main`. The times are held in
memory during the run and written to a file at its end, so recording one costs only a read of the
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
"""Environment variable with the file to write: float64 seconds of CLOCK_MONOTONIC, one per step."""


def _noted(run: Run) -> Iterator[Report]:
    """Make the steps of *run* and yield their reports; at the end, write the time of each step."""
    # These import torch, which the worker must not.
    from optcore.training.loop import train  # noqa: PLC0415
    from optcore.training.reports import StepReport  # noqa: PLC0415

    times = array("d")
    for report in train(run):
        if isinstance(report, StepReport):
            times.append(time.monotonic())
        yield report
    Path(os.environ[TIMES]).write_bytes(times.tobytes())


def main(device: str, reads: int, writes: int) -> None:
    """Run a trainer that records the times of steps."""
    from worker.attempt.runner import JobRunner  # noqa: PLC0415  see above
    from worker.processes import trainer  # noqa: PLC0415

    trainer.main(device, reads, writes, make_runner=partial(JobRunner, train=_noted))


def work() -> None:
    """Run a worker whose trainers record the times of steps."""
    from worker import main as worker  # noqa: PLC0415  a trainer has no use for RQ

    worker.main(trainer_module="benchmarks.clocked")


if __name__ == "__main__":
    work()
