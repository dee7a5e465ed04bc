"""The `optserve` command in a terminal, and in a pipe."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress

COMMAND = [sys.executable, "-P", "-m", "optserve"]


def on_terminal(*args: str) -> str:
    """Run the command in a terminal of 80 columns; return what it wrote."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *args],
        stdin=end,
        stdout=end,
        stderr=end,
        env={**os.environ, "COLUMNS": "80", "TERM": "dumb"},
    )
    os.close(end)
    written = b""
    with suppress(OSError):  # EIO is how Linux reports the end of a terminal
        while part := os.read(terminal, 4096):
            written += part
    os.close(terminal)
    process.wait()
    return written.decode().replace("\r\n", "\n")


def piped(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the command with its output in pipes."""
    return subprocess.run([*COMMAND, *args], capture_output=True, text=True, check=False)
