"""
Workers whose trainers misbehave: modules to give as `worker_module` of a stack.

Each module here is both: run as a program it is the worker, and its `main` is what the trainers
are forked to do: theirs, after a change.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any


def put(module: ModuleType, **names: object) -> None:
    """Put something else in the place of what *module* has under these names."""
    for name, value in names.items():
        assert hasattr(module, name)
        setattr(module, name, value)


def work(name: str) -> None:
    """Be a worker whose trainers run the `main` of the module *name*."""
    from worker import main  # noqa: PLC0415  not in the trainers

    main.main(trainer_module=f"tests.support.strange.{name}")


def train(change: Callable[[], None], *begin: Any) -> None:
    """Be a trainer that begins as `worker.processes.trainer.main` does, after *change*."""
    from worker.processes import trainer  # noqa: PLC0415  not in the worker

    change()
    trainer.main(*begin)
