"""Runs the processes of a benchmark."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def process(name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the module *name* of this package as a process, until the context ends."""
    command = [sys.executable, "-m", f"{__package__}.{name}", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def tell(to: subprocess.Popen[str], word: str) -> None:
    """Send *word* to a process, as a line on its standard input."""
    assert to.stdin is not None
    to.stdin.write(f"{word}\n")
    to.stdin.flush()
