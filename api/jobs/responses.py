"""A job as an answer: made in a thread where its spec is large."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import Response

from api.http.thread_pool import RequestWork
from optserve.contract.answers.jobs import Job
from store.errors import IdempotencyConflict
from store.jobs.calls import Submitted
from store.jobs.record import Record

Shows = Callable[[Record], Job]
"""What a client sees of a record."""


async def accepted(submitted: Submitted, *, shown: Shows, work: RequestWork) -> Response:
    """
    Return the job that was *submitted*, and where it is.

    Raises:
        IdempotencyConflict: its key belongs to another job.
    """
    record = submitted.record
    if submitted.outcome == "conflict":
        raise IdempotencyConflict(record.id)
    headers = {"Location": f"/v1/jobs/{record.id}"}
    if submitted.outcome == "replayed":
        headers["Idempotent-Replayed"] = "true"
    return await job_response(record, shown=shown, work=work, status=201, headers=headers)


async def job_response(
    record: Record,
    *,
    shown: Shows,
    work: RequestWork,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the job of *record*."""
    text = await work.do(len(record.fields.get("spec", "")), _text, record, shown)
    return Response(text, status, headers, "application/json")


def _text(record: Record, shown: Shows) -> str:
    return shown(record).model_dump_json()
