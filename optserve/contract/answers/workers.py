"""Workers, and the queue that they take jobs from."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator

from optserve.contract.answers.base import WireModel, renamed


def _named_now(state: object) -> object:
    """Return a state of a worker by its name of today; release 0.2.0 calls unhealthy `unwell`."""
    return "unhealthy" if state == "unwell" else state


class Worker(WireModel):
    """A worker that is alive."""

    object: Literal["worker"] = "worker"
    id: str
    host: str
    pid: int
    device: str
    """The device it trains on: cpu or cuda."""
    fingerprint: str
    """Equal for workers that compute equal bits; empty until its first trainer is ready."""
    state: Annotated[Literal["idle", "busy", "unhealthy"], BeforeValidator(_named_now)]
    """An unhealthy worker takes no jobs until its machine is fit to train on."""
    unhealthy_reason: str | None = renamed("unwell", default=None)
    """What is wrong with its machine."""
    job: str | None
    """The job it trains."""
    started_at: datetime = renamed("since")
    last_seen_at: datetime = renamed("seen")
    """Time of its last heartbeat."""


class Lane(WireModel):
    """Queued jobs that the same workers may take."""

    device: str | None
    """The device they ask for: cpu, cuda, or auto for any. Null for jobs that need a
    `fingerprint`."""
    fingerprint: str | None
    """The fingerprint of the workers that compute the bits with which these jobs were started."""
    queued: int
    workers: int
    """Live workers that may take these jobs."""
    idle_workers: int


class Queue(WireModel):
    """Queued jobs, and the workers that may take them."""

    object: Literal["queue"] = "queue"
    queued: int
    running: int
    workers: int
    idle_workers: int
    lanes: list[Lane]
    """Lanes with queued jobs."""
