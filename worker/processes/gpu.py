"""
Locks a GPU, so that only one trainer uses it at a time.

A trainer holds the lock until its process ends, however the process ends. So a trainer that
outlives its worker does not share the GPU with the next trainer, which continues the job.

The lock is named after the UUID of the GPU, not after its index: a container with one GPU gives it
index 0. With indices, two containers with different GPUs would wait for each other. Two containers
that give the same GPU different indices would use it at the same time.
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

RETRY_S = 0.2
"""Seconds between two tries to get the lock."""
ANSWER_S = 60.0
"""Seconds to wait for nvidia-smi, which takes several seconds if the driver has to be loaded."""
QUERY = ("--query-gpu=index,uuid", "--format=csv,noheader")
UUID = re.compile(r"(?:GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def gpu_name(environment: Mapping[str, str] = os.environ) -> str:
    """
    Return the name of the GPU that a process will use: the UUID of its first visible GPU.

    The UUID comes from nvidia-smi, so that CUDA is not initialized. nvidia-smi numbers GPUs by PCI
    bus id, and so does CUDA in trainers, where CUDA_DEVICE_ORDER is PCI_BUS_ID. A slice of a GPU
    (MIG) is named by its own UUID in CUDA_VISIBLE_DEVICES.

    Without nvidia-smi, the name is the first entry in CUDA_VISIBLE_DEVICES, or 0. Different GPUs in
    two containers may then have the same name: the trainer in the second container waits, and logs
    a warning.

    The name does not include the container. If it did, two containers with the same GPU would train
    on this GPU at the same time, without a warning.

    Args:
        environment: the environment variables of the process. Their PATH is searched for
            nvidia-smi.
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if UUID.fullmatch(visible):
        return visible
    cards = _cards(environment)
    if visible.isdecimal() or not visible:
        # CUDA reads 01 as 1.
        found = [uuid for index, uuid in cards if index == str(int(visible or 0))]
    else:  # CUDA also accepts the beginning of a UUID, if only one card matches
        found = [uuid for _, uuid in cards if uuid.startswith(visible)]
    if len(found) == 1:
        return found[0]
    name = "".join(c if c.isalnum() or c == "-" else "_" for c in visible) or "0"
    log.warning(
        "nvidia-smi does not list the UUID of GPU %s: its lock is named %s, like that of any other "
        "GPU with this name; set CUDA_VISIBLE_DEVICES to the UUID (nvidia-smi -L)",
        visible or 0,
        name,
    )
    return name


def lock_gpu(folder: Path, name: str, *, wait: Callable[[float], None] = time.sleep) -> int:
    """
    Lock the GPU, waiting until no other process holds the lock.

    Args:
        folder: the folder of the lock files; the same for all workers on this machine.
        name: the name of the GPU, from `gpu_name`.
        wait: a function that sleeps for a number of seconds, called before each new try.

    Returns:
        The file descriptor that holds the lock until this process ends. A forked process has the
        descriptor too, until it runs another program.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / f"gpu-{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    logged = False
    while True:
        try:
            # Not lockf: its lock is lost when the process closes any other descriptor for the file.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not logged:
                logged = True
                holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
                log.warning("waiting for GPU %s, which another trainer holds (%s)", name, holder)
            wait(RETRY_S)
        else:
            # Only for the log of a trainer that waits, which reads this without the lock.
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            return handle


def _cards(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the index and UUID of each GPU in this machine or container."""
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
