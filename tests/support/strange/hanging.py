"""Trainers that never do anything about the job that they have begun."""

from __future__ import annotations

import time
from typing import Any

from tests.support.strange import work


def main(*begin: Any) -> None:
    """Be such a trainer."""
    from worker.attempt import runner  # noqa: PLC0415  not in the worker
    from worker.processes import trainer  # noqa: PLC0415

    class Hanging(runner.JobRunner):
        def train(self, *_: object) -> Any:
            time.sleep(3600)

    trainer.main(*begin, make_runner=Hanging)


if __name__ == "__main__":
    work("hanging")
