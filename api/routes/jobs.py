"""Jobs: post, validate, list and read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.accepted import answer
from api.bells import ring
from api.dependencies import BlockingClient, Client, JobRecord, JobStore, Shown, TenantName
from api.planning import plan_of
from api.problems import documented
from api.query import LABEL
from jobs import calls
from jobs.errors import IdempotencyConflict, JobNotFound, StoreUnavailable
from jobs.functions import send_async
from jobs.record import new_fields, new_id
from jobs.spec.job import JobSpec
from jobs.spec.states import State
from jobs.spec.wire import Job, Page, Plan
from optcore.schedules.check import check_values

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

QUICK_VALUES = 20_000
"""Values of schedules that are computed within a millisecond or so."""


@router.post("", status_code=201, responses=documented(IdempotencyConflict, StoreUnavailable))
async def submit_job(
    *,
    spec: JobSpec,
    tenant: TenantName,
    client: Client,
    ringing: BlockingClient,
    shown: Shown,
    response: Response,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Job:
    """
    Post a job. It is on disk when this answers.

    With an `Idempotency-Key` the same request may be sent again: it gives the same job.
    """
    await _check(spec)
    fields = new_fields(spec)
    call = calls.submit(
        tenant,
        new_id(),
        fields,
        idempotency_key=idempotency_key or "",
        body_sha=spec.sha256() if idempotency_key else "",
    )
    submitted = await send_async(client, call)
    job = answer(submitted, shown=shown, response=response)
    if submitted.bells:
        await run_in_threadpool(ring, ringing, submitted.bells, job.id)
    return job


async def _check(spec: JobSpec) -> None:
    """Check the schedules of *spec*: in a thread, unless that is more work than they are."""
    steps = spec.total_steps, spec.steps_per_epoch
    if sum(moved.schedule.cost(*steps) for moved in spec.moved()) <= QUICK_VALUES:
        check_values(spec)
    else:
        await run_in_threadpool(check_values, spec)


@router.post("/validate")
def validate_job(spec: JobSpec) -> Plan:
    """Return what the job would be, every default filled in, with warnings; run nothing."""
    check_values(spec)
    return plan_of(spec)


@router.get("")
async def list_jobs(
    *,
    request: Request,
    tenant: TenantName,
    store: JobStore,
    shown: Shown,
    state: State | None = None,
    after: Annotated[str | None, Query(description="Only jobs older than this one.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> Page[Job]:
    """
    Return jobs, newest first.

    Filter by label with `?label.NAME=VALUE`, as often as you like.
    """
    labels = {
        name.removeprefix(LABEL): value
        for name, value in request.query_params.items()
        if name.startswith(LABEL)
    }
    records, rest = await store.records(
        tenant, state=state, labels=labels, after=after, limit=limit
    )
    return Page(data=[shown(record) for record in records], has_more=rest is not None, next=rest)


@router.get("/{job_id}", responses=documented(JobNotFound))
async def read_job(record: JobRecord, shown: Shown) -> Job:
    """Return a job and how far it is; while it is queued, with its place."""
    return shown(record)
