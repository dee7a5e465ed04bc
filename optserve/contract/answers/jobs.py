"""Jobs: one job, a job in a list, and the parts of a job."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, model_validator

from optcore.spec.networks.weight_map import Prefix
from optserve.contract.answers.base import Page, WireModel, renamed
from optserve.contract.requests.clone import Keep
from optserve.contract.states import Outcome, Reason, State

FORMER_METRICS = {
    "test_loss": "test_loss",
    "test_accuracy": "test_accuracy",
    "top_k": "test_top_k",
    "ema_loss": "ema_test_loss",
    "ema_accuracy": "ema_test_accuracy",
}
"""Maps the fields of a result in releases up to 0.2.0 to the names of the metrics."""


class MemoryUse(WireModel):
    """The memory that a run took, and the memory that its plan estimated."""

    planned: int
    """Bytes that the plan of the job estimated."""
    measured: int | None
    """Bytes that the last attempt took at most; null where the system does not tell."""
    kind: str
    """What was measured: `allocated`, what torch allocated on a GPU; `resident`, by how much the
    resident memory of the process grew, which includes what its allocator and libraries take."""


class Best(WireModel):
    """The best state of a run so far, by a metric on the validation examples."""

    step: int
    """Number of steps that the run had made when it reached this state."""
    metric: str
    value: float


class BestResult(Best):
    """The best state of a finished run, and the test metrics of its weights."""

    metrics: dict[str, float]
    """Value of each metric on the test examples, with the weights in `best.safetensors`; measured
    once, at the end of the run. Names begin with `test_`, or with `ema_test_` if averaged weights
    were chosen. Empty if the file of these weights was damaged or missing: the history has an entry
    `best_not_evaluated` then."""
    matrices: dict[str, list[list[int]]] = Field(default_factory=dict)
    """Confusion matrices of these weights by name; empty in lists."""

    @property
    def test(self) -> dict[str, float]:
        """The test metrics by their names, without `test_` or `ema_test_`."""
        return {name.partition("test_")[2]: value for name, value in self.metrics.items()}


class Result(WireModel):
    """Metrics of a finished run."""

    metrics: dict[str, float]
    """Value of each metric at the end of the run, with its last weights, which are in
    `model.safetensors`. A name such as `test_accuracy` has the split (`val` or `test`) before the
    metric, and `ema_` before the split if the averaged weights were evaluated, which are in
    `ema.safetensors`. `/v1/evaluation-metrics` lists all metrics."""
    matrices: dict[str, list[list[int]]] = Field(default_factory=dict)
    """Confusion matrices by name (`test_confusion`): a row for each true class, with the number of
    examples per predicted class. Empty in lists, and if the job does not request any."""
    best: BestResult | None = None
    """The step of the best weights, which are in `best.safetensors`, and their test metrics. Null
    if the job does not keep its best state, or if release 0.2.0 accepted it."""
    memory: MemoryUse | None = None
    """Memory of the run; null for jobs without a plan, such as those of 0.2.0."""

    @model_validator(mode="before")
    @classmethod
    def _of_0_2_0(cls, data: Any) -> Any:  # noqa: ANN401
        """Accept the form of releases up to 0.2.0, in which each metric was a field."""
        if not isinstance(data, dict) or "metrics" in data:
            return data
        numbers = {new: data.get(old) for old, new in FORMER_METRICS.items()}
        metrics = {name: value for name, value in numbers.items() if value is not None}
        confusion = data.get("confusion")
        matrices = {} if confusion is None else {"test_confusion": confusion}
        return {"metrics": metrics, "matrices": matrices}

    @property
    def test(self) -> dict[str, float]:
        """Metrics on the test examples, by name, with the last (not the averaged) weights."""
        return {
            name.removeprefix("test_"): value
            for name, value in self.metrics.items()
            if name.startswith("test_")
        }


class Parent(WireModel):
    """The job that a clone starts from."""

    job: str
    step: int
    """Number of steps that the parent had made when it saved the state that the clone starts
    from."""
    keep: Keep
    """What the clone took from the parent: the weights, or all that it needs to continue the
    training (`optimizer`)."""
    # Fields with a default are missing in responses of release 0.2.0.
    warnings: list[str] = Field(default_factory=list)
    """Why metrics of the clone look too good: validation examples that its weights were trained on,
    by the parent or by jobs that the parent was cloned from. Each warning begins with a field."""
    prefixes: list[Prefix] = Field(default_factory=list, exclude_if=lambda each: not each)
    """First parts of names in the parent's network, and the parts in their place; left out if
    weights kept their names."""
    fresh: list[str] = Field(default_factory=list, exclude_if=lambda each: not each)
    """Globs for weights that the clone did not take from the parent; left out if there are none."""
    omit: list[str] = Field(default_factory=list, exclude_if=lambda each: not each)
    """Globs for weights of the parent that the clone did not take; left out if there are none."""


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
    """Seconds that workers have spent on the job, over all attempts."""
    stalled_s: float = renamed("held_up_s")
    """The part of `trained_s`, in seconds, in which training waited because too many steps were not
    stored yet: the store was unavailable for long, or slower than the training."""
    state: State
    reason: Reason | None
    """Why the job failed; null if it has not failed."""
    detail: str | None
    """A text that explains `reason` for this job."""
    outcome: Outcome | None = renamed("ended")
    """How the job succeeded: `completed` after all `total_steps` steps, or `early_stopped` after
    `step` steps, because its metric no longer improved. Null if the job has not succeeded."""
    requested_action: Literal["cancel", "kill", "pause"] | None = renamed("request")
    """An action that a client has requested and the job's worker has not carried out yet."""
    waiting_for: Literal["worker", "fingerprint", "machine"] | None
    """What a queued job lacks in order to run. `worker`: a worker with the device that the job
    requests. `fingerprint`: a worker with the same hardware and library versions as the worker that
    computed the job's steps, so that results are equal bit for bit. `machine`: a healthy machine;
    `fault` of the job and `unhealthy_reason` of the workers describe the problem. Null while the
    job only waits its turn."""
    fault: str | None = None
    """The problem with the machine whose worker last gave the job back, such as a read-only
    storage. The problem does not count as a crash of the job. Null once the job has made
    progress."""
    queue_position: int | None = renamed("place")
    """Number of jobs that would be claimed before this queued job by the workers that may take it.
    The order depends on priority, then on how many jobs of each tenant are running, then on age.
    Jobs that are submitted later may change the number. Null in lists."""
    offers: list[Literal["restart", "accept"]]
    """Actions with which a job whose `waiting_for` is `fingerprint` would run again. `restart`:
    from step 0. `accept`: from the checkpoint, with results whose last bits may differ. Empty
    until no worker with that fingerprint has been alive for 5 minutes (OPTSERVE_OFFER_AFTER_S)."""
    step: int
    """Number of steps whose lr and loss are stored; also the index of the next step, from 0."""
    total_steps: int
    steps_per_epoch: int
    columns: list[str]
    """Names of the values that are stored for every step: lr, loss, and those the job requests."""
    attempt: int
    """Number of times that a worker has started the job."""
    checkpoint_step: int
    """Number of steps in the checkpoint from which the next worker would continue."""
    parent: Parent | None
    """The job that this job is a clone of; null if it is not a clone."""
    best: Best | None
    """The best state so far; null if the job does not keep its best state."""
    verified_rows: int
    """Number of steps that a resumed run computed again, with results equal bit for bit."""
    bitwise: bool
    """Whether all steps are equal, bit for bit, to those of one uninterrupted run; false once the
    job was continued from a checkpoint on hardware whose results may differ."""
    truncations: list[int] = renamed("cuts")
    """The first discarded step of each truncation so far. Discarded steps are computed again, so a
    client that has read them must read again from that step. In a stream, the event `truncated`
    announces this."""
    lr_off_plan_at: int | None
    """First step whose lr was not equal, bit for bit, to the planned lr; null if there is none."""
    worker: str | None
    """Id of the worker that trains the job, or that trained it last."""
    result: Result | None
    digest: str | None
    """SHA-256 over every tensor of the finished run: equal digests mean results equal bit for
    bit."""
    artifacts: list[str]
    """Names of the files of the finished job; download one from `/artifacts/{name}`."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class Job(JobSummary):
    """A job and its progress."""

    spec: dict[str, Any]
    """The spec of the run, with every default filled in."""


class ListedJob(JobSummary):
    """A job in a list, without its large fields."""

    spec: dict[str, Any] | None
    """The spec of the run, with every default filled in; null if the request did not ask for specs,
    or if this spec is too large for the page."""


class UnreadableJob(WireModel):
    """A job whose record cannot be read, so that a list cannot show it."""

    id: str
    detail: str = renamed("why")
    """Why the record cannot be read."""


class JobPage(Page[ListedJob]):
    """One page of a list of jobs."""

    unreadable: list[UnreadableJob] = Field(default_factory=list)
    """Jobs that belong on this page but cannot be read."""
