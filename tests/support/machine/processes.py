"""Real processes: whether they run, who their children are, and waiting without sleeping long."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path


def eventually(condition: Callable[[], bool], *, within_s: float = 30) -> None:
    """Wait until *condition* holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Return whether the process runs (a zombie does not)."""
    try:
        return state_of(pid) != "Z"
    except OSError:
        return False


def kill(pid: int) -> None:
    """End the process as a crash would, if it still runs."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def state_of(pid: int) -> str:
    """Return the letter for what the process does: T for one that was stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def parent(pid: int) -> int:
    """Return the process that has started *pid*."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def priorities(pid: int) -> list[int]:
    """Return the niceness of each thread of the process; none once it has ended."""
    with contextlib.suppress(OSError):
        threads = [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
        return [os.getpriority(os.PRIO_PROCESS, thread) for thread in threads]
    return []


def children(pid: int) -> list[int]:
    """Return the processes that *pid* has started."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in listed.split()]


def descendants(pid: int) -> list[int]:
    """Return the children of *pid*, their children, and so on."""
    return [each for child in children(pid) for each in (child, *descendants(child))]


def command_line(pid: int) -> str:
    """Return how the process was started."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def environment(pid: int) -> dict[str, str]:
    """Return the environment that the process was started in."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition("=") for entry in content.decode().split("\0") if entry)
    return {name: value for name, _, value in pairs}
