"""A learning rate schedule over a whole run: its value at each step, and a summary."""

from __future__ import annotations

from typing import Literal

from optserve.contract.answers.base import WireModel


class LrSummary(WireModel):
    """A summary of the learning rate over a run."""

    first: float
    peak: float
    peak_step: int
    last: float
    lowest: float
    area: float
    """Sum of the learning rates of all updates."""
    warmup_share: float
    """Share of the updates that belong to the warmup, in 0..1."""


class PreviewedLr(LrSummary):
    """The learning rate of every step, with a summary."""

    name: str
    """``lr`` for the job's schedule, or the name of the group."""
    lr: list[float]
    """Learning rate of each update, starting with update 0."""
    warnings: list[str]
    """Settings that are allowed but probably not intended."""


class SchedulePreview(PreviewedLr):
    """The learning rate of every step of a run, and of every step of each parameter group."""

    object: Literal["schedule_preview"] = "schedule_preview"
    total_steps: int
    groups: list[PreviewedLr]
