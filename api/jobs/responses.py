"""Responses that contain a job, encoded in a thread if the job's spec is large."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import Response

from api.http.thread_pool import RequestThreads
from optserve.contract.answers.jobs import Job
from store.errors import IdempotencyConflict
from store.jobs.calls import Submitted
from store.jobs.record import Record

Render = Callable[[Record], Job]
"""Function that returns the representation of a job."""


async def submitted_response(
    submitted: Submitted, *, render: Render, threads: RequestThreads
) -> Response:
    """
    Return the response that contains the submitted job, with its URL in `Location`.

    Raises:
        IdempotencyConflict: the idempotency key was used before, for another request.
    """
    record = submitted.record
    if submitted.outcome == "conflict":
        raise IdempotencyConflict(record.id)
    headers = {"Location": f"/v1/jobs/{record.id}"}
    if submitted.outcome == "replayed":
        # The status stays 201: a client that repeats a request gets the response that it missed.
        headers["Idempotent-Replayed"] = "true"
    return await job_response(record, render=render, threads=threads, status=201, headers=headers)


async def job_response(
    record: Record,
    *,
    render: Render,
    threads: RequestThreads,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response that contains the job of *record*."""
    # FastAPI would validate the job once more, and encode it on the event loop.
    text = await threads.run(len(record.fields.get("spec", "")), _text, record, render)
    return Response(text, status, headers, "application/json")


def _text(record: Record, render: Render) -> str:
    return render(record).model_dump_json()
