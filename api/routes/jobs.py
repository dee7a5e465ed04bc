"""Jobs: post, validate, list and read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from api.accepted import answer
from api.dependencies import BlockingClient, JobRecord, JobStore, Shown, TenantName
from api.planning import plan_of
from api.problems import documented
from api.query import LABEL
from jobs import calls
from jobs.errors import IdempotencyConflict, JobNotFound, StoreUnavailable
from jobs.functions import send
from jobs.record import new_fields, new_id
from jobs.spec.job import JobSpec
from jobs.spec.states import State
from jobs.spec.wire import Job, Page, Plan
from optcore.schedules.check import check_values

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post("", status_code=201, responses=documented(IdempotencyConflict, StoreUnavailable))
def submit_job(
    *,
    spec: JobSpec,
    tenant: TenantName,
    client: BlockingClient,
    shown: Shown,
    response: Response,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Job:
    """
    Post a job. It is on disk when this answers.

    With an `Idempotency-Key` the same request may be sent again: it gives the same job.
    """
    check_values(spec)
    fields = new_fields(spec)
    call = calls.submit(
        tenant,
        new_id(),
        fields,
        idempotency_key=idempotency_key or "",
        body_sha=spec.sha256(),
    )
    submitted = send(client, call)
    return answer(submitted, shown=shown, client=client, response=response)


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
