"""The states of a job, and why one may fail."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Outcome = Literal["completed", "early_stopped"]
"""How a run that succeeded came to its end: after its last step, or by its own choice before."""


class State(StrEnum):
    """
    Where a job stands.

    ::

        queued -> running -> succeeded | failed | cancelled
        queued <-> paused;  running -> queued when its worker goes away
    """

    QUEUED = "queued"
    """Waits for a worker."""
    PAUSED = "paused"
    """Waits for its client to resume it."""
    RUNNING = "running"
    """A worker trains it."""
    SUCCEEDED = "succeeded"
    """Trained to its end. Final."""
    FAILED = "failed"
    """Cannot be trained; `reason` says why. Final."""
    CANCELLED = "cancelled"
    """Stopped because its client wanted so. Final."""

    @property
    def final(self) -> bool:
        """Whether nothing comes after it."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class Reason(StrEnum):
    """Why a job failed. A new reason is code, documentation and a test."""

    DIVERGED = "diverged"
    """A loss was NaN or infinite. Lower lr, or warm up for longer."""
    DATASET_MISSING = "dataset_missing"
    """The service's data directory lacks the dataset. Its operator can fetch it."""
    OUT_OF_MEMORY = "out_of_memory"
    """The network and its batch do not fit the device. Lower batch_size."""
    CRASH_LOOP = "crash_loop"
    """Three workers in a row died of it before its next checkpoint."""
    REPLAY_DIFFERS = "replay_differs"
    """A resumed run gave other numbers than the run it continues."""
    PARENT_UNUSABLE = "parent_unusable"
    """What a clone should begin with is damaged, or its optimizer is of another kind. Clone with
    keep: weights, or from another step."""
    TIMEOUT = "timeout"
    """Workers have had it for as long as its time_limit_s allows. Clone it from its last
    checkpoint, or post it with a longer limit."""
    ERROR = "error"
    """Anything else: a mistake of ours. The detail holds what to report."""
