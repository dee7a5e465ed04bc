"""The states of a job, and why one may fail."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Outcome = Literal["completed", "early_stopped"]
"""How a job succeeded: it made all its steps, or it stopped early because it no longer improved."""


class State(StrEnum):
    """
    Where a job stands.

    ::

        queued -> running -> succeeded | failed | cancelled
        queued <-> paused;  running -> queued when its worker is lost
    """

    QUEUED = "queued"
    """Waiting for a worker."""
    PAUSED = "paused"
    """Waiting for its client to resume it."""
    RUNNING = "running"
    """A worker is training it."""
    SUCCEEDED = "succeeded"
    """Trained to its end. Final."""
    FAILED = "failed"
    """Cannot be trained; `reason` says why. Final."""
    CANCELLED = "cancelled"
    """Ended by its client. Final."""

    @property
    def final(self) -> bool:
        """Whether a job in this state never changes again."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class Reason(StrEnum):
    """Why a job failed. A new reason is code, documentation and a test."""

    DIVERGED = "diverged"
    """A loss was NaN or infinite. Lower lr, or use a longer warmup."""
    DATASET_MISSING = "dataset_missing"
    """The service's data directory lacks the dataset. Its operator can fetch it."""
    OUT_OF_MEMORY = "out_of_memory"
    """The network and its batch do not fit the device. Lower batch_size."""
    CRASH_LOOP = "crash_loop"
    """Three workers in a row died of it before its next checkpoint."""
    REPLAY_DIFFERS = "replay_differs"
    """A resumed run computed other numbers than the run it continues."""
    PARENT_UNUSABLE = "parent_unusable"
    """The state that a clone starts from is damaged, or its optimizer is of another kind. Clone
    with keep: weights, or from another step."""
    TIMEOUT = "timeout"
    """It has been trained for time_limit_s seconds. Clone it from its last checkpoint, or post it
    with a longer limit."""
    ERROR = "error"
    """Anything else: a bug in the service. The detail has what to report."""
