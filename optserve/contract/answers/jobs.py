"""Jobs: one job, a job in a list, and what belongs to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from optserve.contract.answers.base import Page, WireModel, renamed
from optserve.contract.requests.clone import Keep
from optserve.contract.states import Outcome, Reason, State


class Result(WireModel):
    """Measurements of a finished run on the held-out examples."""

    test_loss: float
    """Mean over the examples."""
    test_accuracy: float
    """Share of the examples predicted correctly, in 0..1."""
    top_k: float | None = None
    """Share whose class is among the k likeliest, if the job asked for it."""
    confusion: list[list[int]] | None = None
    """Confusion matrix, if the job asked for it: a row for each class, a column for each
    prediction. Null in lists."""
    ema_loss: float | None = None
    """Loss with the averaged weights; null if the job has none."""
    ema_accuracy: float | None = None
    """Accuracy with the averaged weights; null if the job has none."""


class Best(WireModel):
    """The best state of a run so far, by a metric of the held-out examples."""

    step: int
    """Number of steps made before it."""
    metric: str
    value: float


class Parent(WireModel):
    """The job that a clone starts from."""

    job: str
    step: int
    """Number of steps the parent had made when the state was saved that the clone starts from."""
    keep: Keep
    """What was taken from it: the weights, or also the optimizer's state."""


class JobSummary(WireModel):
    """A job and its progress, without its spec."""

    object: Literal["job"] = "job"
    id: str
    name: str
    labels: dict[str, str]
    priority: int
    time_limit_s: float | None
    """Seconds of training after which the job fails with reason `timeout`; null for no limit."""
    trained_s: float
    """Seconds that workers have spent on it, over all attempts."""
    stalled_s: float = renamed("held_up_s")
    """Seconds of `trained_s` in which training waited for the store: it was away for long, or
    slower than the run, and too many steps were not stored yet."""
    state: State
    reason: Reason | None
    """Why it failed."""
    detail: str | None
    """The reason in words."""
    outcome: Outcome | None = renamed("ended")
    """How it succeeded: `completed`, after `total_steps` steps; or `early_stopped`, because it
    stopped improving, after `step` steps. Null until then."""
    requested_action: Literal["cancel", "kill", "pause"] | None = renamed("request")
    """An action that was requested and that its worker has not carried out yet."""
    waiting_for: Literal["worker", "fingerprint", "machine"] | None
    """What a queued job lacks: a worker for its device; a worker that computes the same bits as
    the one that started it; or a healthy machine (`fault` of the job and `unhealthy_reason` of
    the workers name the problem). Null while it only waits its turn."""
    fault: str | None = None
    """Problem of the machine whose worker gave the job back last, such as a read-only storage. It
    does not count as a crash of the job. Null once the job has progressed."""
    queue_position: int | None = renamed("place")
    """Of a queued job: how many jobs would be claimed before it by the workers that may take it,
    by priority, running jobs of each tenant, and age. Later jobs may change it. Null in lists."""
    offers: list[Literal["restart", "accept"]]
    """Actions that would let the job run where no worker with its fingerprint has been alive for
    5 minutes (OPTSERVE_OFFER_AFTER_S): restart it from step 0, or accept other bits and continue
    from its checkpoint."""
    step: int
    """Number of steps whose lr and loss are stored; also the index of the next one, from 0."""
    total_steps: int
    steps_per_epoch: int
    columns: list[str]
    """What is stored of every step: lr, loss, and what the job asks for."""
    attempt: int
    """How many times a worker has started it."""
    checkpoint_step: int
    """The step that the next worker would continue from."""
    parent: Parent | None
    """The job that it is a clone of; null if it is none."""
    best: Best | None
    """The best state so far; null if the job does not keep one."""
    verified_rows: int
    """Steps that a resumed run computed again and that had the same bits."""
    bitwise: bool
    """Whether all its steps have the bits of one uninterrupted run; false once it continued from a
    checkpoint on hardware that computes other bits."""
    truncations: list[int] = renamed("cuts")
    """For each time that steps were discarded, the first of them. They are computed again; a reader
    that has them must read again from there. A stream says so by itself."""
    lr_off_plan_at: int | None
    """First step whose lr was not bit for bit the planned one; null if there is none."""
    worker: str | None
    """The worker that trains it, or trained it last."""
    result: Result | None
    digest: str | None
    """SHA-256 over every tensor of the finished run: equal digests, equal bits."""
    artifacts: list[str]
    """Names of files, for `/artifacts/{name}`."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class Job(JobSummary):
    """A job and its progress."""

    spec: dict[str, Any]
    """The run, with every default filled in."""


class ListedJob(JobSummary):
    """A job in a list: without its large fields."""

    spec: dict[str, Any] | None
    """The run, with every default filled in, if the request asked for specs and this one fits on a
    page; else null."""


class UnreadableJob(WireModel):
    """A job whose record cannot be read, so that a list cannot show it."""

    id: str
    detail: str = renamed("why")
    """Why it cannot be read."""


class JobPage(Page[ListedJob]):
    """One page of a list of jobs."""

    unreadable: list[UnreadableJob] = Field(default_factory=list)
    """Jobs that belong on this page but cannot be read."""
