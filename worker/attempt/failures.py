"""Why an attempt failed: a reason for the job's client, or a fault of this machine."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import NamedTuple

import torch

from optcore.data.examples import DatasetMissing
from optcore.training.reports import Diverged
from optserve.contract.states import Reason
from store.jobs.calls import Cause
from store.redis.functions import ReplayDiffers
from store.settings import Settings
from store.storage.usable import described, is_fault
from worker.attempt.disk import MachineFault
from worker.attempt.restore import ParentUnusable

REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (DatasetMissing, Reason.DATASET_MISSING),
    (Diverged, Reason.DIVERGED),
    (ReplayDiffers, Reason.REPLAY_DIFFERS),
    (ParentUnusable, Reason.PARENT_UNUSABLE),
    (torch.OutOfMemoryError, Reason.OUT_OF_MEMORY),
    (MemoryError, Reason.OUT_OF_MEMORY),
)
CPU_ALLOCATOR = "DefaultCPUAllocator"
"""In the text of the RuntimeError that torch raises when it has no memory for a CPU tensor."""
NOT_THE_MACHINE = ("device-side assert", "CUDA out of memory")
"""In the text of a GPU's errors that the job itself causes."""


class Fault(NamedTuple):
    """
    What is wrong with a machine.

    Attributes:
        why: in words.
        cause: fault; or crashed, where it may be the job after all: a few crashes end it.
    """

    why: str
    cause: Cause


def fault_of(error: Exception, settings: Settings) -> Fault | None:
    """Return what is wrong with this machine, if that made an attempt raise *error*."""
    if isinstance(error, MachineFault):
        return Fault(str(error), "fault")
    if isinstance(error, OSError) and is_fault(error):
        return Fault(described(error), "fault")
    # A missing dataset is the job's failure, a missing folder of all datasets a mount's.
    if isinstance(error, DatasetMissing) and not settings.data_dir.is_dir():
        return Fault(f"the data directory {settings.data_dir} is not there", "fault")
    text = str(error)
    if isinstance(error, torch.AcceleratorError) and not any(w in text for w in NOT_THE_MACHINE):
        return Fault(f"the GPU: {text.splitlines()[0]}", "crashed")
    return None


def reason_of(error: Exception) -> tuple[Reason, str]:
    """Return why a job that raised *error* failed, and the details in words."""
    lines = str(error).splitlines() or [type(error).__name__]
    for kind, reason in REASONS:
        if isinstance(error, kind):
            return reason, lines[0]
    # torch has no class of its own for this, unlike for a GPU's memory.
    if isinstance(error, RuntimeError) and CPU_ALLOCATOR in str(error):
        return Reason.OUT_OF_MEMORY, lines[0]
    where = traceback.extract_tb(error.__traceback__)[-1]
    line = f"{Path(where.filename).name}:{where.lineno}"
    return Reason.ERROR, f"{type(error).__name__}: {error} ({line})"
