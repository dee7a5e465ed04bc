"""
The lock on a GPU: one trainer at a time, whatever became of the one before.

The kernel frees it when the process ends, however it ends. So a trainer that was thought dead, and
is not, cannot share the card with the one that took its job.

The lock bears the card's UUID. An index is no name for a card: every container that is given one
card sees it as number 0, so that two containers with a card each would wait for each other, and the
same card may be 0 in one container and 3 in another.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

log = logging.getLogger(__name__)

LOOK_S = 0.2
"""Seconds between two tries."""
ANSWER_S = 60.0
"""Seconds that nvidia-smi gets; where the driver is not kept loaded it needs several."""
QUERY = ("--query-gpu=index,uuid", "--format=csv,noheader")
UUID = re.compile(r"(?:GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def gpu_name(environment: Mapping[str, str] = os.environ) -> str:
    """
    Return the name of the GPU that a process will use: the UUID of the first one it is shown.

    CUDA is not touched: nvidia-smi knows the cards. It numbers them by their place on the bus, as
    CUDA does where CUDA_DEVICE_ORDER is PCI_BUS_ID (trainers have it so). A slice of a card (MIG)
    is named by its own UUID in CUDA_VISIBLE_DEVICES.

    Where no UUID can be had, the name is what CUDA_VISIBLE_DEVICES says, or 0, and nothing else:
    neither host nor container. Two containers on different cards then have the same name, and the
    second one waits, and says so; with the container in it, two on the same card would have
    different names, and would train on it at once. Waiting can be seen and mended.

    Args:
        environment: of the process; its PATH is where nvidia-smi is looked for.
    """
    shown = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if UUID.fullmatch(shown):
        return shown
    cards = _cards(environment)
    if shown.isdecimal() or not shown:
        found = [uuid for index, uuid in cards if index == str(int(shown or 0))]
    else:  # as CUDA has it, as much of a UUID as one card alone begins with
        found = [uuid for _, uuid in cards if uuid.startswith(shown)]
    if len(found) == 1:
        return found[0]
    name = "".join(c if c.isalnum() or c == "-" else "_" for c in shown) or "0"
    log.warning(
        "nvidia-smi does not tell the UUID of GPU %s: its lock is named %s, as that of any other "
        "GPU so called; set CUDA_VISIBLE_DEVICES to the UUID (nvidia-smi -L)",
        shown or 0,
        name,
    )
    return name


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
    told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                told = True
                holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
                log.warning("waits for GPU %s, which another trainer holds (%s)", name, holder)
            wait(LOOK_S)
        else:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            return handle


def _cards(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return index and UUID of every GPU of this machine or container."""
    tool = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if tool is None:
        return []
    try:
        listed = subprocess.run(
            [tool, *QUERY], capture_output=True, text=True, check=True, timeout=ANSWER_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("%s does not list the GPUs: %s", tool, error)
        return []
    rows = (line.partition(",") for line in listed.stdout.splitlines())
    return [(index.strip(), uuid.strip()) for index, _, uuid in rows if UUID.search(uuid)]
