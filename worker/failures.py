"""Why a job cannot be trained: from what was raised to a reason that its client understands."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch

from jobs.functions import ReplayDiffers
from jobs.spec.states import Reason
from optcore.data.examples import DatasetMissing
from optcore.training.reports import Diverged
from worker.beginning import ParentUnusable

REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (DatasetMissing, Reason.DATASET_MISSING),
    (Diverged, Reason.DIVERGED),
    (ReplayDiffers, Reason.REPLAY_DIFFERS),
    (ParentUnusable, Reason.PARENT_UNUSABLE),
    (torch.OutOfMemoryError, Reason.OUT_OF_MEMORY),
    (MemoryError, Reason.OUT_OF_MEMORY),
)
CPU_ALLOCATOR = "DefaultCPUAllocator"
"""In the text of the RuntimeError that torch raises where memory for a CPU tensor is short."""


def reason_of(error: Exception) -> tuple[Reason, str]:
    """Return why a job failed that raised *error*, and the details in words."""
    lines = str(error).splitlines() or [type(error).__name__]
    for kind, reason in REASONS:
        if isinstance(error, kind):
            return reason, lines[0]
    if isinstance(error, RuntimeError) and CPU_ALLOCATOR in str(error):
        return Reason.OUT_OF_MEMORY, lines[0]
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(where.filename).name}:{where.lineno}"
    return Reason.ERROR, f"{type(error).__name__}: {error} ({place})"
