"""A schedule over a run: its values, and a summary of them."""

from __future__ import annotations

from typing import Literal

from optserve.contract.answers.base import WireModel


class LrSummary(WireModel):
    """The learning rate over a run, in a few numbers."""

    first: float
    peak: float
    peak_step: int
    last: float
    lowest: float
    area: float
    """Sum of lr over the updates."""
    warmup_share: float
    """Share of the updates that belong to the warmup, in 0..1."""


class PreviewedLr(LrSummary):
    """The learning rate of every step, with a summary."""

    name: str
    """``lr``, or the group's name."""
    lr: list[float]
    """For the updates 0, 1, ..."""
    warnings: list[str]
    """Settings that are allowed but probably not intended."""


class SchedulePreview(PreviewedLr):
    """A schedule over a whole run, and the schedule of each group."""

    object: Literal["schedule_preview"] = "schedule_preview"
    total_steps: int
    groups: list[PreviewedLr]
