"""The states of a job, and the reasons why a job may fail."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Outcome = Literal["completed", "early_stopped"]
"""How a job succeeded: it made all its steps, or it stopped early because its metric no longer
improved."""


class State(StrEnum):
    """
    The state of a job.

    ::

        queued -> running -> succeeded | failed | cancelled
        queued <-> paused;  running -> paused;  queued | paused -> cancelled
        running -> queued when its worker is lost or stops
    """

    QUEUED = "queued"
    """Waiting for a worker."""
    PAUSED = "paused"
    """Waiting for its client to resume it."""
    RUNNING = "running"
    """Being trained by a worker."""
    SUCCEEDED = "succeeded"
    """Training is complete. Final: the state never changes again."""
    FAILED = "failed"
    """Training failed; `reason` gives the cause. Final."""
    CANCELLED = "cancelled"
    """Ended by the client. Final."""

    @property
    def final(self) -> bool:
        """Whether a job in this state never changes again."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class Reason(StrEnum):
    """
    Why a job failed.

    A new reason needs code, a section in docs/reasons.md, and a test.
    """

    DIVERGED = "diverged"
    """A loss was NaN or infinite. Lower lr, or use a longer warmup."""
    DATASET_MISSING = "dataset_missing"
    """The service's data directory lacks the dataset. Its operator can fetch it."""
    OUT_OF_MEMORY = "out_of_memory"
    """The network and its batch do not fit the device. Lower batch_size."""
    CRASH_LOOP = "crash_loop"
    """Three attempts in a row ended with the death of the trainer or worker, without a new
    checkpoint."""
    REPLAY_DIFFERS = "replay_differs"
    """A resumed run computed a step again and got other numbers than those stored."""
    PARENT_UNUSABLE = "parent_unusable"
    """The state that a clone starts from is missing or damaged, or does not fit the clone's run,
    for example its optimizer. Clone with keep: weights, or from another step."""
    TIMEOUT = "timeout"
    """The job was trained for time_limit_s seconds. Clone it from its last checkpoint, or post it
    with a longer limit."""
    ERROR = "error"
    """Any other error, usually a bug in the service; `detail` contains what to report."""
