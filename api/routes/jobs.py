"""Jobs: post, validate, list, read, and ask for an end."""

from __future__ import annotations

import logging
from typing import Annotated, Literal

import redis
from fastapi import APIRouter, Header, Query, Request, Response

from api.dependencies import BlockingClient, JobRecord, JobStore, TenantName
from api.planning import plan_of
from api.problems import documented
from api.query import LABEL
from jobs import calls, doorbell
from jobs.errors import IdempotencyConflict, JobNotFound, StoreUnavailable
from jobs.functions import send
from jobs.record import new_fields, new_id
from jobs.spec.job import JobSpec
from jobs.spec.states import State
from jobs.spec.wire import Job, Page, Plan
from optcore.schedules.check import check_values

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post("", status_code=201, responses=documented(IdempotencyConflict, StoreUnavailable))
def submit_job(
    spec: JobSpec,
    tenant: TenantName,
    client: BlockingClient,
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
    job = submitted.record.job()
    if submitted.outcome == "conflict":
        raise IdempotencyConflict(job.id)
    if submitted.outcome == "replayed":
        response.headers["Idempotent-Replayed"] = "true"
    _ring(client, submitted.bells, job.id)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job


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
    return Page(data=[record.job() for record in records], has_more=rest is not None, next=rest)


@router.get("/{job_id}", responses=documented(JobNotFound))
async def read_job(record: JobRecord) -> Job:
    """Return a job and how far it is."""
    return record.job()


@router.post("/{job_id}/cancel", responses=documented(JobNotFound))
def cancel_job(job_id: str, tenant: TenantName, client: BlockingClient) -> Job:
    """End a job: a queued one at once, a running one after it has saved a checkpoint."""
    return _ask(client, tenant, job_id, "cancel")


@router.post("/{job_id}/kill", responses=documented(JobNotFound))
def kill_job(job_id: str, tenant: TenantName, client: BlockingClient) -> Job:
    """End a job without saving anything."""
    return _ask(client, tenant, job_id, "kill")


@router.post("/{job_id}/pause", responses=documented(JobNotFound))
def pause_job(job_id: str, tenant: TenantName, client: BlockingClient) -> Job:
    """Put a job aside: a running one after it has saved a checkpoint."""
    return _ask(client, tenant, job_id, "pause")


@router.post("/{job_id}/resume", responses=documented(JobNotFound))
def resume_job(job_id: str, tenant: TenantName, client: BlockingClient) -> Job:
    """Put a paused job back into the queue; it continues from its checkpoint."""
    return _ask(client, tenant, job_id, "resume")


def _ask(
    client: redis.Redis,
    tenant: str,
    job_id: str,
    action: Literal["cancel", "kill", "pause", "resume"],
) -> Job:
    asked = send(client, calls.ask(tenant, job_id, action))
    if asked.record is None:
        raise JobNotFound(job_id)
    _ring(client, asked.bells, job_id)
    return asked.record.job()


def _ring(client: redis.Redis, devices: list[str], job_id: str) -> None:
    """Ring; a bell that cannot be rung now is rung by the reaper within seconds."""
    for device in devices:
        try:
            doorbell.ring(client, device, job_id)
        except redis.RedisError as error:
            log.warning("%s: the bell for %s could not be rung: %s", job_id, device, error)
