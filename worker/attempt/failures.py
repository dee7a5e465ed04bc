"""Determines why an attempt failed: because of the job, or because of a fault of the machine."""

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
"""Text in the RuntimeError that torch raises if there is no memory for a CPU tensor."""
NOT_THE_MACHINE = ("device-side assert", "CUDA out of memory")
"""Texts that mark a GPU error as caused by the job itself."""


class Fault(NamedTuple):
    """
    A fault of a machine.

    Attributes:
        why: a description of the fault.
        cause: ``fault``; or ``crashed`` if the job itself may be the cause. A job that crashes
            several times in a row fails.
    """

    why: str
    cause: Cause


def fault_of(error: Exception, settings: Settings) -> Fault | None:
    """Return the fault of this machine that caused *error*; None if the machine is not at fault."""
    if isinstance(error, MachineFault):
        return Fault(str(error), "fault")
    if isinstance(error, OSError) and is_fault(error):
        return Fault(described(error), "fault")
    # One missing dataset is the job's failure; if the folder of all datasets is missing, a mount is
    # at fault.
    if isinstance(error, DatasetMissing) and not settings.data_dir.is_dir():
        return Fault(f"the data directory {settings.data_dir} does not exist", "fault")
    text = str(error)
    if isinstance(error, torch.AcceleratorError) and not any(w in text for w in NOT_THE_MACHINE):
        return Fault(f"the GPU failed: {text.splitlines()[0]}", "crashed")
    return None


def reason_of(error: Exception) -> tuple[Reason, str]:
    """Return the reason for which *error* makes a job fail, and a description of the error."""
    lines = str(error).splitlines() or [type(error).__name__]
    for kind, reason in REASONS:
        if isinstance(error, kind):
            return reason, lines[0]
    # torch has no exception class for this error, unlike for a lack of GPU memory.
    if isinstance(error, RuntimeError) and CPU_ALLOCATOR in str(error):
        return Reason.OUT_OF_MEMORY, lines[0]
    where = traceback.extract_tb(error.__traceback__)[-1]
    line = f"{Path(where.filename).name}:{where.lineno}"
    return Reason.ERROR, f"{type(error).__name__}: {error} ({line})"
