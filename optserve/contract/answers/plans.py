"""What a job would do, computed without running it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from optserve.contract.answers.base import WireModel
from optserve.contract.answers.schedules import LrSummary


class LayerSummary(WireModel):
    """One layer of a network."""

    name: str
    """Path of the layer: the names, or numbers, of the blocks that hold it, and its own. Of layers
    that are repeated, that of the first."""
    kind: str
    output_shape: list[int]
    """Shape of the output for one example."""
    num_parameters: int
    flops: int
    """Floating-point operations of the forward pass for one example."""
    copies: int = 1
    """How many times the network has the layer, each with parameters of its own."""


class GroupSummary(WireModel):
    """A group of parameters that are updated with the same settings."""

    match: str
    """The pattern or preset that selects the parameters; "the rest" for parameters in no group, and
    "all" if the job has no groups."""
    kind: str
    """Kind of the optimizer that updates the group. muon leaves parameters that are not matrices to
    adamw."""
    lr: float
    weight_decay: float
    l2: float
    clip: dict[str, Any] | None
    """How the group's gradients are clipped; null if they are not."""
    schedule: str | None
    """Kind of the group's own schedule; null if the group follows the job's schedule."""
    parameters: list[str]
    num_parameters: int
    # Fields with a default are missing in responses of release 0.2.0.
    state_bytes: int | None = None
    """Bytes of the optimizer's state for these parameters, as float32."""


class MemoryEstimate(WireModel):
    """
    Memory of a run in bytes, estimated without running it.

    The estimate counts tensors that exist at the same time. It does not count the memory of the
    process itself.
    """

    dataset: int
    parameters: int
    """Weights, and copies of them."""
    state: int
    """State of the optimizer."""
    step: int
    """Gradients, activations and the batch, at the moment of a step at which they take most."""
    evaluation: int
    """Activations, the batch and the last gradients, in an evaluation."""
    total: int
    """The most that the run takes at a time: dataset, parameters and state, and the larger of step
    and evaluation."""


class ExpectedTime(WireModel):
    """How long the job would take on one kind of worker: same hardware and library versions."""

    device: str
    fingerprint: str
    workers: int
    """Number of live workers with this fingerprint."""
    jobs: int
    """Number of finished jobs of the same kind, on such machines, that the range is made from."""
    lowest_s: float | None
    """Lower end of the range in seconds; null if it is unknown, until three such jobs finished."""
    highest_s: float | None
    """Upper end of the range in seconds, at most twice the lower end; null if it is unknown."""


class DatasetFacts(WireModel):
    """What the plan assumes about the dataset."""

    digest: str
    """Digest of these facts and of the content: a worker refuses a dataset with another one."""
    train_examples: int
    validation_examples: int
    test_examples: int
    shape: list[int]
    """Shape of one example."""


class Plan(WireModel):
    """The plan of a job: what it would do if it were posted."""

    object: Literal["plan"] = "plan"
    spec: dict[str, Any]
    """The spec of the job, with every default filled in."""
    total_steps: int
    steps_per_epoch: int
    columns: list[str] = Field(default_factory=list)
    """Columns of the series that the job would record."""
    dataset: DatasetFacts | None = None
    num_parameters: int
    flops: int | None = None
    """Floating-point operations of the forward pass for one example."""
    layers: list[LayerSummary]
    groups: list[GroupSummary]
    """Every parameter that is trained is in exactly one group."""
    frozen: list[str] = Field(default_factory=list)
    """Names of the parameters that are not trained (`training.frozen`)."""
    num_frozen: int = 0
    """Number of numbers in them, which `num_parameters` includes."""
    memory: MemoryEstimate | None = None
    expected_time: list[ExpectedTime] | None = None
    """Time of training on each kind of live worker that may take the job; null if the store does
    not respond."""
    lr: LrSummary
    warnings: list[str]
