"""Routes to submit, validate, list and read jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.http.dependencies import (
    JobRecord,
    JobStore,
    RenderJob,
    RenderListedJob,
    Services,
    TenantName,
    Threads,
)
from api.http.params import IdempotencyKey, labels_of
from api.http.problems import documented
from api.http.spec_body import SpecBody, SpecBodyRoute
from api.jobs.lists import page
from api.jobs.plan import checking_cost, plan_text
from api.jobs.responses import job_response, submitted_response
from api.jobs.wakeups import wake_workers
from optcore.plan.values import check_values
from optserve.contract.answers.jobs import Job, JobPage
from optserve.contract.answers.plans import ExpectedTime, Plan
from optserve.contract.requests.job import JobSpec
from optserve.contract.states import State
from store.errors import Busy, IdempotencyConflict, JobNotFound, StoreUnavailable
from store.jobs import calls
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.redis.functions import send_async

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=SpecBodyRoute)

# The store compares ids as text: without this check, any text would work as a cursor.
JOB_ID = r"^job_[0-9a-f-]{1,64}$"
"""The form of a job's id."""


@router.post(
    "",
    status_code=201,
    response_model=Job,
    responses=documented(IdempotencyConflict, StoreUnavailable),
)
async def submit_job(
    *,
    spec: SpecBody[JobSpec],
    services: Services,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """
    Submit a job. The job is stored on disk before the response is sent.

    A request with an `Idempotency-Key` may be repeated. The response to a repeated request contains
    the job that the first request submitted.
    """
    threads = services.threads
    body_sha, fields = await threads.run(
        threads.size + checking_cost(spec), _prepare, spec, hashed=idempotency_key is not None
    )
    # The id is made here and not in the store: redis-py sends the call again after a lost reply,
    # and the function then finds by this id the job that it made the first time.
    call = calls.submit(
        services.tenant, new_id(), fields, idempotency_key=idempotency_key or "", body_sha=body_sha
    )
    submitted = await send_async(services.client, call)
    response = await submitted_response(submitted, render=services.render, threads=threads)
    await wake_workers(services.blocking_client, submitted.wakeups, submitted.record.id)
    return response


def _prepare(spec: JobSpec, *, hashed: bool) -> tuple[str, dict[str, str]]:
    """
    Check the schedules in *spec*; return the hash of *spec*, and the fields of the job's record.

    If *hashed* is false, the hash is not computed, and is empty.
    """
    check_values(spec)
    return spec.sha256() if hashed else "", new_fields(spec)


@router.post("/validate", response_model=Plan, responses=documented(Busy))
async def validate_job(spec: SpecBody[JobSpec], services: Services) -> Response:
    """Return a job's plan without submitting the job: its full spec, sizes, and warnings."""
    threads = services.threads
    times = await services.expected_times.of(spec)
    text = await threads.run(threads.size + checking_cost(spec), _plan, spec, times)
    return Response(text, media_type="application/json")


def _plan(spec: JobSpec, times: list[ExpectedTime] | None) -> str:
    check_values(spec)
    return plan_text(spec, times)


@router.get("", response_model=JobPage, responses=documented(StoreUnavailable))
async def list_jobs(
    *,
    request: Request,
    tenant: TenantName,
    store: JobStore,
    render: RenderListedJob,
    threads: Threads,
    state: Annotated[State | None, Query(description="Return only jobs in this state.")] = None,
    after: Annotated[
        str | None, Query(pattern=JOB_ID, description="Return only jobs older than this job.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Maximum number of jobs.")] = 20,
    spec: Annotated[bool, Query(description="Include the spec of each job.")] = False,
) -> Response:
    """
    Return jobs, newest first. The specs of the jobs are left out unless `spec` is true.

    Filter by label with `?label.NAME=VALUE`, once per label.

    A page has at most 4 MiB, so it may contain fewer than `limit` jobs. While `has_more` is true,
    call again with `after` set to the page's `next`.
    """
    labels = labels_of(request.query_params)
    found = await store.ids(tenant, state=state, labels=labels, after=after, limit=limit)
    text = await page(store, tenant, found, with_spec=spec, render=render, threads=threads)
    return Response(text, media_type="application/json")


@router.get("/{job_id}", response_model=Job, responses=documented(JobNotFound))
async def read_job(record: JobRecord, render: RenderJob, threads: Threads) -> Response:
    """Return a job and its progress; for a queued job, also its position in the queue."""
    return await job_response(record, render=render, threads=threads)
