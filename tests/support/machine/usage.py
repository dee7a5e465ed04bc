"""The memory and CPU time of a process."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Cpu:
    """CPU time of a process since this was made."""

    pid: int

    def __post_init__(self) -> None:
        self._start, self._at = self._seconds(), time.monotonic()

    def used(self) -> float:
        """Return it, in cores."""
        return (self._seconds() - self._start) / (time.monotonic() - self._at)

    def _seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def rss(pid: int) -> int:
    """Return the bytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
