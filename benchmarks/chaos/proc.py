"""What Linux tells of processes: whose children they are, what they run, how old they are."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

STARTED = 19
"""Where, behind the name of a process in its `stat`, the tick stands at which it was started."""


def children(pid: int) -> list[int]:
    """Return the processes that the main thread of *pid* has started and that have not ended."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in listed.split()]


def command_line(pid: int) -> str:
    """Return what the process was started as; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def age_s(pid: int) -> float | None:
    """Return for how many seconds the process has been there, None if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return None
    state, *facts = stat.rpartition(")")[2].split()
    if state == "Z":
        return None
    return uptime - int(facts[STARTED - 1]) / os.sysconf("SC_CLK_TCK")


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; return whether there was a process to send it to."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
