"""Dependencies of routes: the tenant, the store, the record of the job in the path."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import redis
import redis.asyncio
from fastapi import Depends, Request

from api.http.thread_pool import RequestThreads, threads_of
from api.metrics.charts.reader import SeriesReader
from api.metrics.streams.hub import StreamHub
from optserve.contract.answers.jobs import Job, ListedJob
from store.jobs.record import Record
from store.jobs.views import Store
from store.storage.pool import StoragePool


# All of these are coroutines, although they wait for nothing: FastAPI calls a plain function in a
# thread, and for a submission that was three changes of thread.
async def _threads(request: Request) -> RequestThreads:
    return threads_of(request.scope)


async def _tenant() -> str:
    return "local"


async def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


async def _client(request: Request) -> redis.asyncio.Redis:
    client: redis.asyncio.Redis = request.app.state.client
    return client


async def _blocking_client(request: Request) -> redis.Redis:
    client: redis.Redis = request.app.state.blocking_client
    return client


async def _render(request: Request) -> Callable[[Record], Job]:
    return partial(Record.job, offer_after_s=request.app.state.offer_after_s)


async def _render_listed(request: Request) -> Callable[..., ListedJob]:
    return partial(Record.listed, offer_after_s=request.app.state.offer_after_s)


async def _files(request: Request) -> StoragePool:
    files: StoragePool = request.app.state.files
    return files


async def _series_reader(request: Request) -> SeriesReader:
    reader: SeriesReader = request.app.state.series_reader
    return reader


async def _stream_hub(request: Request) -> StreamHub:
    hub: StreamHub = request.app.state.stream_hub
    return hub


Threads = Annotated[RequestThreads, Depends(_threads)]
"""For computing that would block the event loop if the request is large."""
TenantName = Annotated[str, Depends(_tenant)]
"""The tenant whose jobs the request is about."""
JobStore = Annotated[Store, Depends(_store)]
"""For reading."""
Client = Annotated[redis.asyncio.Redis, Depends(_client)]
"""For writing."""
BlockingClient = Annotated[redis.Redis, Depends(_blocking_client)]
"""For waking workers, which goes through RQ, which has no async client."""
RenderJob = Annotated[Callable[[Record], Job], Depends(_render)]
"""Makes a job's representation from its record, with the settings of this service."""
RenderListedJob = Annotated[Callable[..., ListedJob], Depends(_render_listed)]
"""Makes the representation of a job in a list."""
StoredFiles = Annotated[StoragePool, Depends(_files)]
"""The only way to files. Any other way, a storage that hangs would hang the whole process."""
ChartReader = Annotated[SeriesReader, Depends(_series_reader)]
"""Reads series for charts, and caches them."""
Hub = Annotated[StreamHub, Depends(_stream_hub)]
"""For routes that answer with an event stream."""


async def _record(job_id: str, tenant: TenantName, store: JobStore) -> Record:
    return await store.record(tenant, job_id)


JobRecord = Annotated[Record, Depends(_record)]
"""The record of the job in the path; 404 if there is none."""
