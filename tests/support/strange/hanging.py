"""Trainers that never do anything about the job that they have begun."""

from __future__ import annotations

import time
from typing import Any

from tests.support.strange import put, train, work


def _change() -> None:
    from worker.attempt import runner  # noqa: PLC0415  not in the worker
    from worker.processes import trainer  # noqa: PLC0415

    class Hanging(runner.Workshop):
        def train(self, held: object) -> Any:
            time.sleep(3600)

    put(trainer, Workshop=Hanging)


def main(*begin: Any) -> None:
    """Be such a trainer."""
    train(_change, *begin)


if __name__ == "__main__":
    work("hanging")
