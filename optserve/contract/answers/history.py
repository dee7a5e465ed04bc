"""The history of a job."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from optserve.contract.answers.base import WireModel


class Event(WireModel):
    """One entry in the history of a job."""

    object: Literal["event"] = "event"
    id: int
    """Number of the entry; the first entry has number 1."""
    at: datetime
    kind: str
    """What happened: submitted, started, checkpointed, evaluated, requeued, ..."""
    data: dict[str, Any]
