"""Measures the memory that an attempt takes, to be compared with the plan's estimate."""

from __future__ import annotations

import os
from typing import Any

import torch

STATUS, RESET = "/proc/self/status", "/proc/self/clear_refs"
PEAK = "VmHWM:"
"""Name of the line of `STATUS` with the largest resident memory, in KiB."""


class PeakMemory:
    """
    The most memory that this process has taken, beyond its memory when this object was made.

    On a GPU, this is memory that torch has allocated there. On a CPU, this is resident memory of
    the process, which includes the memory of the allocator and the libraries.

    Args:
        device: the device that the attempt trains on: cpu or cuda.
    """

    def __init__(self, device: str) -> None:
        self._on_gpu = device == "cuda"
        self._before = memory_bytes()
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
            return
        try:
            with open(RESET, "w") as file:
                file.write("5")  # resets the peak of this process to its present memory
        except OSError:  # not Linux, or forbidden
            self._before = -1

    def compared(self, planned: int) -> dict[str, Any]:
        """
        Return the entry about memory in a job's result: the peak and *planned*, in bytes.

        The peak is None if this system cannot measure it.
        """
        kind = "allocated" if self._on_gpu else "resident"
        return {"planned": planned, "measured": self._measured(), "kind": kind}

    def _measured(self) -> int | None:
        if self._on_gpu:
            return torch.cuda.max_memory_allocated() - self._before
        if self._before < 0:
            return None
        with open(STATUS) as lines:
            peak = next(int(line.split()[1]) for line in lines if line.startswith(PEAK))
        return max(0, 1024 * peak - self._before)


def memory_bytes() -> int:
    """Return the resident memory of this process in bytes; 0 on systems without /proc."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0
