"""Ctrl-C while a command imports modules."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended: 128 plus the signal number of SIGINT, which is 2."""


def exit_at_once(number: int, frame: FrameType | None) -> None:
    """Handle SIGINT: end the process without cleanup and without a traceback."""
    del number, frame
    os._exit(INTERRUPTED)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """
    End the process at once on Ctrl-C inside the block; the block must only import modules.

    A KeyboardInterrupt is not enough: some libraries catch it while they are imported. For example,
    pydantic raises a SchemaError in its place while it builds a validator.

    If the process ignores SIGINT, or has its own handler for SIGINT, nothing changes.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, exit_at_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
