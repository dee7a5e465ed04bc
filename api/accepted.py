"""The answer to whoever posted a job, once the store has it."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Response

from jobs.calls import Submitted
from jobs.errors import IdempotencyConflict
from jobs.record import Record
from jobs.spec.wire import Job


def answer(submitted: Submitted, *, shown: Callable[[Record], Job], response: Response) -> Job:
    """
    Return the job that was *submitted*, and say in *response* where it is.

    Raises:
        IdempotencyConflict: its key belongs to another job.
    """
    job = shown(submitted.record)
    if submitted.outcome == "conflict":
        raise IdempotencyConflict(job.id)
    if submitted.outcome == "replayed":
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job
