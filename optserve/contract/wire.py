"""What the service answers with."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from optserve.contract.clone import Keep
from optserve.contract.states import Outcome, Reason, State

Item = TypeVar("Item")


class Wire(BaseModel):
    """Base of every answer: NaN and infinities are the strings "NaN", "Infinity", "-Infinity"."""

    model_config = ConfigDict(ser_json_inf_nan="strings", use_attribute_docstrings=True)


class Page(Wire, Generic[Item]):
    """Part of a list, in OpenAI's shape; it may be shorter than was asked for."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    """Whether there is more behind this page right now."""
    next: str | int | None
    """Give this as `after` for what follows."""


class Result(Wire):
    """What a finished run came to on the held-out examples."""

    test_loss: float
    """Mean over the examples."""
    test_accuracy: float
    """Share of the examples told right, in 0..1."""
    top_k: float | None = None
    """Share whose class is among the k likeliest, if that was asked for."""
    confusion: list[list[int]] | None = None
    """For each class, what its examples were taken for, if that was asked for. Null in lists."""
    ema_loss: float | None = None
    """The loss with the averaged weights, if there are any."""
    ema_accuracy: float | None = None
    """The accuracy with them."""


class Best(Wire):
    """The best state of a run so far, by what is measured on the held-out examples."""

    step: int
    """Steps before it."""
    metric: str
    value: float


class Parent(Wire):
    """Where a clone comes from."""

    job: str
    step: int
    """Steps the other job had made when what this one begins with was saved."""
    keep: Keep
    """What was taken from there: the weights, or also the optimizer's state."""


class JobSummary(Wire):
    """A job and how far it is, but for its spec."""

    object: Literal["job"] = "job"
    id: str
    name: str
    labels: dict[str, str]
    priority: int
    time_limit_s: float | None
    """For how long workers may have it; null for no limit."""
    trained_s: float
    """For how long workers have had it, all attempts together."""
    stalled_s: float
    """For how long of that it could not train, because too much of it was not stored yet: the store
    was away for long, or too slow."""
    state: State
    reason: Reason | None
    """Why it failed."""
    detail: str | None
    """More about the reason, in words."""
    outcome: Outcome | None
    """How it succeeded: `completed`, after `total_steps` steps; or `early_stopped`, because it no
    longer got better, with the `step` steps it made. Null until then."""
    requested_action: Literal["cancel", "kill", "pause"] | None
    """What its client has asked for and its worker has not done yet."""
    waiting_for: Literal["worker", "fingerprint", "machine"] | None
    """What a queued job lacks: a worker for its device; one that computes the same bits as the
    worker that began it; or one on a healthy machine (`fault` of the job and
    `unhealthy_reason` of the workers name the problem). Null while it only waits its turn."""
    fault: str | None = None
    """What was wrong with the machine of the worker that gave the job back last: its storage was
    read-only, say. It is not held against the job. Null once the job has moved on."""
    queue_position: int | None
    """Of a queued job: how many would be claimed before it by the workers that may take it, by
    priority, running jobs of each tenant, and age; jobs that come later may change it. Null in
    lists."""
    offers: list[Literal["restart", "accept"]]
    """What may help where no worker with the job's fingerprint has lived for 5 minutes
    (OPTSERVE_OFFER_AFTER_S): to restart it from step 0, or to accept other bits and go on from its
    checkpoint."""
    step: int
    """Steps whose lr and loss are known: the next one, from 0."""
    total_steps: int
    steps_per_epoch: int
    columns: list[str]
    """What is kept of every step: lr, loss, and what the job asks for."""
    attempt: int
    """How many workers have begun it."""
    checkpoint_step: int
    """Where the next worker would continue."""
    parent: Parent | None
    """The job that it is a clone of; null if it is none."""
    best: Best | None
    """The best state so far, if the run keeps one."""
    verified_rows: int
    """Steps that a resumed run computed again, with the same bits."""
    bitwise: bool
    """Whether all its steps are those of one undisturbed run, bit for bit; false once it went on
    from a checkpoint where bits come out differently."""
    truncations: list[int]
    """Each time that steps were cut: the first one. They are computed anew; who has read them must
    read on from there. A stream says so by itself."""
    lr_off_plan_at: int | None
    """First step whose lr was not, to the last bit, the planned one; null if there is none."""
    worker: str | None
    """Who trains it, or trained it last."""
    result: Result | None
    digest: str | None
    """SHA-256 over every tensor of the finished run: equal digests, equal bits."""
    artifacts: list[str]
    """Names for `/artifacts/{name}`."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class Job(JobSummary):
    """A job and how far it is."""

    spec: dict[str, Any]
    """The run, with every default filled in."""


class ListedJob(JobSummary):
    """A job in a list: without what is large, which the job itself has."""

    spec: dict[str, Any] | None
    """The run, with every default filled in, if the list was asked for specs and it is not larger
    than a page; else null."""


class UnreadableJob(Wire):
    """A job whose record cannot be read, and so has no row in a list."""

    id: str
    detail: str


class JobPage(Page[ListedJob]):
    """Part of a list of jobs."""

    unreadable: list[UnreadableJob] = []
    """Those that stand between the jobs of this page, but cannot be read."""


class MetricRow(Wire):
    """One step; the further columns of its job stand under their own names."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, float]

    step: int
    """0 for the first update that was attempted."""
    lr: float
    loss: float
    """Mean over the batch, before the update."""

    def value(self, column: str) -> float:
        """Return the value of a column, which must be one of the job's."""
        return getattr(self, column)  # type: ignore[no-any-return]  # a float


class MetricsPage(Page[MetricRow]):
    """Some steps of a job."""

    truncations: int
    """How often steps were cut. Give it back with `after`: you are told if it happened since."""


class StreamedRows(Wire):
    """Data of a stream's event ``rows``; the event's id is the last step."""

    columns: list[str]
    """step, lr, loss, and what else the job has."""
    rows: list[list[int | float]]
    """One list per step, oldest first."""


class StateChange(Wire):
    """Data of a stream's event ``state``."""

    state: State
    attempt: int
    """How many workers have begun the job."""


class RowsTruncated(Wire):
    """
    Data of a stream's event ``truncated``: forget the steps from `step` on, they will come anew.

    The event's id is that of the step before.
    """

    step: int


class StreamEnd(Wire):
    """Data of a stream's last event, ``end``."""

    state: State
    reason: Reason | None
    detail: str | None
    outcome: Outcome | None = None
    """How it succeeded; null if it did not."""
    rows: int
    """Steps there are: what was streamed, if you had them from 0."""
    digest: str | None


class Checkpoint(Wire):
    """A state of a run that is kept: to continue from, or because it was the best."""

    object: Literal["checkpoint"] = "checkpoint"
    step: int
    """Steps before it."""
    sha256: str
    """Of its facts, which hold those of its other files."""
    size: int | None
    """Of all its files, in bytes; null if they are not in the storage of this service."""
    best: bool
    """Whether it is the best state so far."""


class Event(Wire):
    """One entry of a job's history."""

    object: Literal["event"] = "event"
    id: int
    """1 for the first."""
    at: datetime
    kind: str
    """What happened: submitted, started, checkpointed, evaluated, requeued, ..."""
    data: dict[str, Any]


class Worker(Wire):
    """A worker that is alive."""

    object: Literal["worker"] = "worker"
    id: str
    host: str
    pid: int
    device: str
    """What it trains on: cpu or cuda."""
    fingerprint: str
    """Equal for workers whose bits are equal; empty until the first one is ready to train."""
    state: Literal["idle", "busy", "unhealthy"]
    """Unhealthy: its machine is not fit to train on. It takes no jobs until it is."""
    unhealthy_reason: str | None = None
    """What is wrong with its machine."""
    job: str | None
    """The job it trains."""
    started_at: datetime
    last_seen_at: datetime
    """When it last said so."""


class Lane(Wire):
    """Jobs that wait for the same workers."""

    device: str | None
    """The device they ask for: cpu, cuda, or auto for any. Null where `fingerprint` says who."""
    fingerprint: str | None
    """That of the workers that compute the bits with which these jobs were begun."""
    queued: int
    workers: int
    """Those alive that may take them."""
    idle_workers: int


class Queue(Wire):
    """What waits, and who is there to take it."""

    object: Literal["queue"] = "queue"
    queued: int
    running: int
    workers: int
    idle_workers: int
    lanes: list[Lane]
    """Where something waits."""


class LayerRow(Wire):
    """One layer of a network."""

    name: str
    kind: str
    output_shape: list[int]
    """For one example."""
    num_parameters: int
    flops: int
    """Of the forward pass of one example."""


class LrBrief(Wire):
    """The learning rate over a run, in a few numbers."""

    first: float
    peak: float
    peak_step: int
    last: float
    lowest: float
    area: float
    """lr summed over the updates."""
    warmup_share: float
    """Part of the updates that belong to the warmup, in 0..1."""


class GroupRow(Wire):
    """Parameters that are updated alike."""

    match: str
    """What they were found by; "the rest" for those in no group."""
    kind: str
    """Their optimizer: muon leaves what is no matrix to adamw."""
    lr: float
    weight_decay: float
    l2: float
    clip: dict[str, Any] | None
    """Limit of their gradient."""
    schedule: str | None
    """Kind of their own schedule, if they have one."""
    parameters: list[str]
    num_parameters: int


class Plan(Wire):
    """What a job would be, if it were posted."""

    object: Literal["plan"] = "plan"
    spec: dict[str, Any]
    """With every default filled in."""
    total_steps: int
    steps_per_epoch: int
    num_parameters: int
    layers: list[LayerRow]
    groups: list[GroupRow]
    """The parameters, each in one group, and what is different there."""
    lr: LrBrief
    warnings: list[str]


class Mistake(Wire):
    """One thing that is wrong with a request."""

    param: str
    """Where: a dotted path into the body, or a parameter's name."""
    message: str
    """Name, rule and the value given."""


class Problem(Wire):
    """An error, in the form of RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    """For programs: one word that does not change."""
    errors: list[Mistake] = []
    """What is wrong with the request: the first 20 mistakes."""
    more_errors: int = 0
    """How many further ones there are."""


class CatalogueField(Wire):
    """One word of a spec."""

    name: str
    description: str
    type: str
    default: Any
    """null where it must be given."""
    defaults: dict[str, Any] | None
    """Dialect -> default, where they differ; a dialect that is missing does not have the field."""
    unit: str | None


class CatalogueEntry(Wire):
    """Something a job may name."""

    object: str
    name: str
    summary: str
    description: str
    """Formula and references."""
    fields: list[CatalogueField]
    json_schema: dict[str, Any]
