"""The history of a job."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from optserve.contract.answers.base import WireModel


class Event(WireModel):
    """One entry of a job's history."""

    object: Literal["event"] = "event"
    id: int
    """1 for the first entry."""
    at: datetime
    kind: str
    """What happened: submitted, started, checkpointed, evaluated, requeued, ..."""
    data: dict[str, Any]
