"""Whole stacks with settings of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from optserve.local import stack
from optserve.local.stack import Stack


@contextmanager
def stack_with(
    home: Path, *, workers: int = 1, worker_module: str = "worker.main", **variables: str
) -> Iterator[Stack]:
    """Run a stack on a free port, with these variables in the environment."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in variables.items():
            environment.setenv(name, value)
        with stack.running(
            home=home, port=0, workers=workers, worker_module=worker_module
        ) as started:
            yield started
