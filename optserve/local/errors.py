"""The error raised if a local stack cannot be started or used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from optserve.interrupts import importing


class StackError(Exception):
    """The local stack cannot be started or used; the message says why and what to do."""


INSTALL = (
    "Install the service into an environment of its own: "
    'pip install "optserve[server]"; or use its container images.'
)


@contextlib.contextmanager
def needing_the_service(command: str) -> Iterator[None]:
    """Raise `StackError` if *command* cannot import modules of the service inside the block."""
    try:
        with importing():
            yield
    except ImportError as error:
        raise StackError(f"optserve {command} cannot run: {error}.\n{INSTALL}") from None
