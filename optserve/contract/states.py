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
    """Why a job failed."""

    # The text under a reason is its section in docs/reasons.md, which `reasons_page` writes: what
    # happened, an empty line, and what to do. `worker.attempt.failures` lists the errors that have
    # a reason.
    DIVERGED = "diverged"
    """
    A loss was NaN or infinite; `detail` names the step and the last checkpoint.

    Lower `lr`, use a longer warmup, or clip gradients (`optimizer.clip`). The rows before the end,
    for example in a chart, show whether the loss grew or jumped. A clone from the last checkpoint
    with a lower `lr` saves the steps before it.
    """
    DATASET_MISSING = "dataset_missing"
    """
    The service's data directory lacks the dataset, or has other files than those the job was
    planned for.

    The operator of the service can fetch it (`optserve datasets fetch mnist`, also for
    `mnist_lines` and `mnist_lines_rotated`) on every machine with a worker; then post the job
    again. A text (dataset `text`) is put there by hand ([text](text.md)); the message says what it
    must be.
    """
    OUT_OF_MEMORY = "out_of_memory"
    """
    The network, the batch and the optimizer together do not fit into the memory of the device.

    Lower `dataset.batch_size`, and set `training.accumulate` so that an update still uses as many
    examples; use bf16; or choose an optimizer with less state per parameter ([the state of
    each](optimizers/README.md)).
    """
    CRASH_LOOP = "crash_loop"
    """
    Three attempts in a row ended with the death of the trainer or of its worker, before the job's
    next checkpoint. The cause is nearly always a lack of memory (the kernel then kills the trainer
    without an error message), or a driver.

    Lower `dataset.batch_size`. A smaller `training.checkpoint_every` lets a job progress even if it
    crashes now and then. The worker's log has the signal that ended each trainer.
    """
    REPLAY_DIFFERS = "replay_differs"
    """
    A resumed run computed a step again and got other numbers than those stored; `detail` names the
    step. The stored rows were not overwritten.

    Clone the job, or post it again: the new job is computed in one run. Please report it with the
    logs of both workers: with equal fingerprints this should not happen. If the last bits do not
    matter, `training.exact: false` lets a job continue on a worker with another fingerprint, but it
    does not permit rows that differ.
    """
    PARENT_UNUSABLE = "parent_unusable"
    """
    The state that a clone should start from is damaged, or its optimizer's state does not fit the
    run.

    Clone again with `keep: weights`, or from another step (`GET /v1/jobs/{id}/checkpoints` of the
    parent).
    """
    TIMEOUT = "timeout"
    """
    The job was trained for as long as its `time_limit_s` allows, over all attempts; time in which
    it was queued or paused does not count. The worker saves a checkpoint before the job ends. If
    that takes longer than a minute, the job is taken from the worker, and its last checkpoint is an
    older one.

    Clone it from there (`{"from": "last", "keep": "optimizer"}`), or post it with a longer limit.
    """
    ERROR = "error"
    """
    Any other error: a bug in the service, or a fault of the machine. `detail` has the type of the
    error, its message and its location.

    Please report it with the job's spec. The error may not occur again: clone the job from its last
    checkpoint.
    """
