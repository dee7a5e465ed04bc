"""
The lock on a GPU: one trainer at a time, whatever became of the one before.

The kernel frees it when the process ends, however it ends. So a trainer that was thought dead, and
is not, cannot share the card with the one that took its job.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

LOOK_S = 0.2
"""Seconds between two tries."""


def gpu_name(environment: Mapping[str, str] = os.environ) -> str:
    """Return which GPU a process will use: the first that it is shown, or 0."""
    shown = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return "".join(c if c.isalnum() or c == "-" else "_" for c in shown) or "0"


def lock_gpu(folder: Path, name: str, *, wait: Callable[[float], None] = time.sleep) -> int:
    """
    Wait until the GPU is free, and hold it until this process ends.

    Args:
        folder: of the locks; the same for all workers of this machine.
        name: of the GPU.
        wait: for so many seconds, before looking again.

    Returns:
        the descriptor that holds the lock: not inherited by what this process starts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / f"gpu-{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait(LOOK_S)
        else:
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
            return handle
