"""What a preview of a schedule answers with."""

from __future__ import annotations

from typing import Literal

from optserve.contract.wire import LrBrief


class PreviewedLr(LrBrief):
    """The learning rate of every step, and what it comes to."""

    name: str
    """``lr``, or the group's name."""
    lr: list[float]
    """Of the updates 0, 1, ..."""
    warnings: list[str]
    """What is allowed but probably not meant."""


class SchedulePreview(PreviewedLr):
    """A schedule over a whole run, and that of each group."""

    object: Literal["schedule_preview"] = "schedule_preview"
    total_steps: int
    groups: list[PreviewedLr]
