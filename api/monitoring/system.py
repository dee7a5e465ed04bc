"""Routes for the workers, the queue and health checks."""

from __future__ import annotations

from fastapi import APIRouter

from api.http.dependencies import JobStore, TenantName
from api.http.problems import documented
from optserve.contract.answers.base import Page, WireModel
from optserve.contract.answers.workers import Queue, Worker
from store.errors import StoreUnavailable

router = APIRouter(tags=["system"])


class Health(WireModel):
    """The response of a health check that succeeds; a check that fails responds with an error."""

    status: str = "ok"


@router.get("/v1/workers")
async def list_workers(store: JobStore) -> Page[Worker]:
    """Return the workers that are alive."""
    return Page(data=await store.workers(), has_more=False, next=None)


@router.get("/v1/queue")
async def read_queue(store: JobStore, tenant: TenantName) -> Queue:
    """Return how many jobs are queued and running, and how many workers can take queued jobs."""
    return await store.queue(tenant)


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz() -> Health:
    """Check that this process responds."""
    return Health()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses=documented(StoreUnavailable))
async def readyz(store: JobStore) -> Health:
    """Check that jobs can be accepted: the store responds, and its functions are loaded."""
    await store.ready()
    return Health()
