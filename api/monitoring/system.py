"""The service itself: who works, what waits, whether it is well."""

from __future__ import annotations

from fastapi import APIRouter

from api.http.dependencies import JobStore, TenantName
from api.http.problems import documented
from optserve.contract.answers.base import Page, WireModel
from optserve.contract.answers.workers import Queue, Worker
from store.errors import StoreUnavailable

router = APIRouter(tags=["system"])


class Health(WireModel):
    """All is well; otherwise the answer is an error."""

    status: str = "ok"


@router.get("/v1/workers")
async def list_workers(store: JobStore) -> Page[Worker]:
    """Return the workers that are alive."""
    return Page(data=await store.workers(), has_more=False, next=None)


@router.get("/v1/queue")
async def read_queue(store: JobStore, tenant: TenantName) -> Queue:
    """Return what waits, and who is there to take it."""
    return await store.queue(tenant)


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz() -> Health:
    """Tell that this process answers."""
    return Health()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses=documented(StoreUnavailable))
async def readyz(store: JobStore) -> Health:
    """Tell that jobs can be accepted: the store answers and has what it needs."""
    await store.ready()
    return Health()
