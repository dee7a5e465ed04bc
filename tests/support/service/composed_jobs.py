"""Jobs of some seconds, and what must be true of one, whatever was done to it."""

from __future__ import annotations

from typing import Any

from optserve.client import Client
from optserve.contract.answers.jobs import Job
from optserve.contract.states import State
from tests.support.service.jobs import SHORT

STEPS = 8_000
SOME: dict[str, Any] = {
    **SHORT,
    "name": "some",
    "training": {"steps": STEPS, "seed": 5, "checkpoint_every": 1000, "evaluate_every": None},
}
"""Long enough to be struck, with checkpoints to go on from."""


def is_whole(client: Client, job: Job, undisturbed: str, *, steps: int = STEPS) -> bool:
    """Return whether the job ended as if nothing had happened, with every row once, in order."""
    assert (job.state, job.detail) == (State.SUCCEEDED, None)
    assert [row.step for row in client.metrics(job.id)] == list(range(steps))
    assert job.bitwise
    return job.digest == undisturbed
