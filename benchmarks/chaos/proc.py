"""Reads facts about processes from Linux: their children, command lines and ages."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

STARTED = 19
"""Position of the start time (in clock ticks) among the fields after the state in /proc/*/stat."""


def children(pid: int) -> list[int]:
    """Return the ids of the living processes that the main thread of *pid* has started."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in listed.split()]


def command_line(pid: int) -> str:
    """Return the command line of a process; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def age_s(pid: int) -> float | None:
    """Return the age of a process in seconds, or None if the process has ended."""
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
    """Send a signal to a process; return whether the process exists."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
