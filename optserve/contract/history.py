"""The kinds of entries in a job's history, as they are stored."""

from __future__ import annotations

from enum import StrEnum


class EventKind(StrEnum):
    """
    The kind of an entry in a job's history.

    The text under each kind lists the data of its entries. Entries in the store never change, so
    the value of a kind must never change.
    """

    SUBMITTED = "submitted"
    """The job was accepted."""
    STARTED = "started"
    """A worker has claimed the job. Data: attempt, worker, step (at which the attempt starts)."""
    REQUEUED = "requeued"
    """The job's worker gave the job back, or was lost. Data: why, attempt, step (of the
    checkpoint)."""
    CANCEL_REQUESTED = "cancel_requested"
    """The client asked the worker to cancel the running job."""
    KILL_REQUESTED = "kill_requested"
    """The client asked the worker to kill the running job."""
    PAUSE_REQUESTED = "pause_requested"
    """The client asked the worker to pause the running job."""
    PAUSED = "paused"
    """The job waits for its client to resume it."""
    RESUMED = "resumed"
    """The client resumed the job, or withdrew its request to pause it."""
    RESTARTED = "restarted"
    """The client restarted the job. Data: rows (the number of rows that were removed)."""
    ACCEPTED = "accepted"
    """The client accepted results that may differ bit for bit. Data: fingerprint (of the machine
    that computed the rows so far), step (of the checkpoint to continue from)."""
    CONTINUED_ELSEWHERE = "continued_elsewhere"
    """A worker whose results may differ bit for bit continued the job. Data: from and to (the old
    and the new fingerprint), step."""
    EVALUATED = "evaluated"
    """The network was evaluated. Data: step, and the metrics."""
    CHECKPOINTED = "checkpointed"
    """A checkpoint was saved. Data: step, digest."""
    CHECKPOINT_REFUSED = "checkpoint_refused"
    """A checkpoint is damaged and was removed from the record. Data: why, step (to continue
    from)."""
    CHECKPOINT_PASSED_OVER = "checkpoint_passed_over"
    """A checkpoint is missing, and an older one was used. Data: path (of the missing checkpoint),
    why, step (to continue from)."""
    ROWS_CUT = "rows_cut"
    """Rows were truncated. Data: from (the first truncated row), count, why. Clients see the kind
    `rows_truncated`."""
    BEST_NOT_EVALUATED = "best_not_evaluated"
    """The result has no test metrics of the best weights, since their file is damaged or missing.
    Data: why."""
    LR_OFF_PLAN = "lr_off_plan"
    """The lr of a step was not the planned one. Data: step, planned, applied, group."""
    STORAGE_FULL = "storage_full"
    """The run waits for free space in the storage. Data: why."""
    STORAGE_HAS_ROOM = "storage_has_room"
    """The run continues: the storage has free space again."""
    SUCCEEDED = "succeeded"
    """Training succeeded. Data: rows, ended (`completed` or `early_stopped`)."""
    FAILED = "failed"
    """The job failed. Data: reason, detail."""
    CANCELLED = "cancelled"
    """The client ended the job."""
