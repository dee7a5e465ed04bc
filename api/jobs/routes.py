"""Jobs: post, validate, list and read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.http.dependencies import (
    BlockingClient,
    Client,
    Effort,
    JobRecord,
    JobStore,
    Listed,
    Shown,
    TenantName,
)
from api.http.params import labels_of
from api.http.problems import documented
from api.http.spec_body import Posted, PostedRoute
from api.http.thread_pool import VALUES_PER_BYTE
from api.jobs.lists import page
from api.jobs.plan import plan_of
from api.jobs.responses import accepted, job_response
from api.jobs.wakeups import ring
from optcore.plan.values import check_values
from optserve.contract.answers.jobs import Job, JobPage
from optserve.contract.answers.plans import Plan
from optserve.contract.requests.job import JobSpec
from optserve.contract.states import State
from store.errors import Busy, IdempotencyConflict, JobNotFound, StoreUnavailable
from store.jobs import calls
from store.jobs.record import new_fields, new_id
from store.redis.functions import send_async

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=PostedRoute)

JOB_ID = r"^job_[0-9a-f-]{1,64}$"
"""What ids of jobs look like."""


@router.post(
    "",
    status_code=201,
    response_model=Job,
    responses=documented(IdempotencyConflict, StoreUnavailable),
)
async def submit_job(
    *,
    spec: Posted[JobSpec],
    tenant: TenantName,
    client: Client,
    ringing: BlockingClient,
    shown: Shown,
    work: Effort,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Response:
    """
    Post a job. It is on disk when this answers.

    With an `Idempotency-Key` the same request may be sent again: it gives the same job.
    """
    body_sha, fields = await work.do(
        work.size + _cost(spec), _prepared, spec, hashed=idempotency_key is not None
    )
    call = calls.submit(
        tenant, new_id(), fields, idempotency_key=idempotency_key or "", body_sha=body_sha
    )
    submitted = await send_async(client, call)
    answer = await accepted(submitted, shown=shown, work=work)
    if submitted.bells:
        await run_in_threadpool(ring, ringing, submitted.bells, submitted.record.id)
    return answer


def _cost(spec: JobSpec) -> int:
    """Return what looking at the schedules of *spec* is like, in bytes of JSON to parse."""
    steps = spec.total_steps, spec.steps_per_epoch
    return sum(moved.schedule.cost(*steps) for moved in spec.scheduled()) // VALUES_PER_BYTE


def _prepared(spec: JobSpec, *, hashed: bool) -> tuple[str, dict[str, str]]:
    """Return what becomes of *spec*, whose numbers must be right: its word, and its record."""
    check_values(spec)
    return spec.sha256() if hashed else "", new_fields(spec)


@router.post("/validate", response_model=Plan, responses=documented(Busy))
async def validate_job(spec: Posted[JobSpec], work: Effort) -> Response:
    """Return what the job would be, every default filled in, with warnings; run nothing."""
    text = await work.do(work.size + _cost(spec), _plan, spec)
    return Response(text, media_type="application/json")


def _plan(spec: JobSpec) -> str:
    check_values(spec)
    return plan_of(spec).model_dump_json()


@router.get("", response_model=JobPage, responses=documented(StoreUnavailable))
async def list_jobs(
    *,
    request: Request,
    tenant: TenantName,
    store: JobStore,
    listed: Listed,
    work: Effort,
    state: State | None = None,
    after: Annotated[str | None, Query(pattern=JOB_ID, description="Only older jobs.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    spec: Annotated[bool, Query(description="Whether to show the spec of each job.")] = False,
) -> Response:
    """
    Return jobs, newest first, without their specs.

    Filter by label with `?label.NAME=VALUE`, as often as you like. A page has at most 4 MiB, so it
    may be shorter than `limit`: go on with `after` set to `next` while `has_more` is true.
    """
    labels = labels_of(request.query_params)
    found = await store.ids(tenant, state=state, labels=labels, after=after, limit=limit)
    text = await page(store, tenant, found, with_spec=spec, listed=listed, work=work)
    return Response(text, media_type="application/json")


@router.get("/{job_id}", response_model=Job, responses=documented(JobNotFound))
async def read_job(record: JobRecord, shown: Shown, work: Effort) -> Response:
    """Return a job and how far it is; while it is queued, with its place."""
    return await job_response(record, shown=shown, work=work)
