"""
Workers whose trainers misbehave: ``stack.running(..., worker_module="tests.strange.NAME")``.

Each module here is both: started without arguments the worker, with those of a trainer the
trainer, changed before it begins.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

from worker import trainers


def put(module: ModuleType, **names: object) -> None:
    """Put something else in the place of what *module* has under these names."""
    for name, value in names.items():
        assert hasattr(module, name)
        setattr(module, name, value)


def play(name: str, change: Callable[[], None]) -> None:
    """Be a worker whose trainers run the module *name*, or such a trainer, after *change*."""
    if len(sys.argv) > 1:
        from worker import trainer  # noqa: PLC0415  the worker must do without

        change()
        trainer.main()
    else:
        from worker import main  # noqa: PLC0415

        trainers.MODULE = f"tests.strange.{name}"
        main.main()
