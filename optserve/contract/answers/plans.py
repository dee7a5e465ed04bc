"""What a job would do, computed without running it."""

from __future__ import annotations

from typing import Any, Literal

from optserve.contract.answers.base import WireModel
from optserve.contract.answers.schedules import LrSummary


class LayerSummary(WireModel):
    """One layer of a network."""

    name: str
    kind: str
    output_shape: list[int]
    """Shape of the output for one example."""
    num_parameters: int
    flops: int
    """Floating-point operations of the forward pass for one example."""


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


class Plan(WireModel):
    """The plan of a job: what it would do if it were posted."""

    object: Literal["plan"] = "plan"
    spec: dict[str, Any]
    """The spec of the job, with every default filled in."""
    total_steps: int
    steps_per_epoch: int
    num_parameters: int
    layers: list[LayerSummary]
    groups: list[GroupSummary]
    """Every parameter is in exactly one group."""
    lr: LrSummary
    warnings: list[str]
