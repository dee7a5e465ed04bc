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
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optcore.training.reports import Report
    from optcore.training.run import Run

TIMES = "BENCHMARK_TIMES"
"""Environment variable: the file to write, float64 seconds of CLOCK_MONOTONIC, one per step."""


def _change() -> None:
    # They bring torch, which the worker must do without.
    from optcore.training.loop import train  # noqa: PLC0415
    from optcore.training.reports import StepReport  # noqa: PLC0415
    from worker.attempt import attempt  # noqa: PLC0415

    def noted(run: Run, *, ahead: int | None = None) -> Iterator[Report]:
        times = array("d")
        for report in train(run, ahead=ahead):
            if isinstance(report, StepReport):
                times.append(time.monotonic())
            yield report
        Path(os.environ[TIMES]).write_bytes(times.tobytes())

    attempt.train = noted  # type: ignore[attr-defined]  # a name that it imports


def main(device: str, hears: int, says: int) -> None:
    """Be a trainer."""
    from worker.processes import trainer  # noqa: PLC0415  see above

    _change()
    trainer.main(device, hears, says)


def work() -> None:
    """Be a worker."""
    from worker import main as worker  # noqa: PLC0415  a trainer has no use for RQ
    from worker.processes import trainers  # noqa: PLC0415

    trainers.MODULE = "benchmarks.clocked"
    worker.main()


if __name__ == "__main__":
    work()
