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
    """For one example."""
    num_parameters: int
    flops: int
    """Of the forward pass of one example."""


class GroupSummary(WireModel):
    """Parameters that are updated alike."""

    match: str
    """The pattern that selects them; "the rest" for parameters in no group."""
    kind: str
    """Their optimizer. muon leaves parameters that are not matrices to adamw."""
    lr: float
    weight_decay: float
    l2: float
    clip: dict[str, Any] | None
    """Limit of their gradient."""
    schedule: str | None
    """Kind of their own schedule; null if they follow the job's."""
    parameters: list[str]
    num_parameters: int


class Plan(WireModel):
    """What a job would be if it were posted."""

    object: Literal["plan"] = "plan"
    spec: dict[str, Any]
    """With every default filled in."""
    total_steps: int
    steps_per_epoch: int
    num_parameters: int
    layers: list[LayerSummary]
    groups: list[GroupSummary]
    """Every parameter is in exactly one group."""
    lr: LrSummary
    warnings: list[str]
