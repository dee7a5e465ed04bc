"""Workers, and the queue from which they take jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator

from optserve.contract.answers.base import WireModel, renamed


def _named_now(state: object) -> object:
    """Return the present name of *state*: release 0.2.0 used `unwell` for `unhealthy`."""
    return "unhealthy" if state == "unwell" else state


class Worker(WireModel):
    """A worker that is alive."""

    object: Literal["worker"] = "worker"
    id: str
    host: str
    pid: int
    device: str
    """The device that the worker trains on: cpu or cuda."""
    fingerprint: str
    """Hash of the hardware and library versions that determine results: workers with equal
    fingerprints compute results that are equal bit for bit. Empty until the worker's first trainer
    process is ready."""
    state: Annotated[Literal["idle", "busy", "unhealthy"], BeforeValidator(_named_now)]
    """An unhealthy worker takes no jobs until training is possible on its machine again."""
    unhealthy_reason: str | None = renamed("unwell", default=None)
    """What is wrong with the worker's machine; null if the worker is healthy."""
    job: str | None
    """Id of the job that the worker trains; null if it trains none."""
    started_at: datetime = renamed("since")
    last_seen_at: datetime = renamed("seen")
    """Time of the worker's last heartbeat."""


class Lane(WireModel):
    """Queued jobs that the same workers may take."""

    device: str | None
    """The device that these jobs request: cpu, cuda, or auto for any device. Null for jobs that
    need a worker with a certain `fingerprint`."""
    fingerprint: str | None
    """Fingerprint of the workers that may take these jobs: the one with which the jobs' steps were
    computed. Null for jobs that do not need a certain fingerprint."""
    queued: int
    workers: int
    """Number of live workers that may take these jobs."""
    idle_workers: int


class Queue(WireModel):
    """Queued jobs, and the workers that may take them."""

    object: Literal["queue"] = "queue"
    queued: int
    running: int
    workers: int
    idle_workers: int
    lanes: list[Lane]
    """The lanes that have queued jobs."""
