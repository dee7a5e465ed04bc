"""Dependencies that routes declare: the tenant, the store, the record of the job in the URL."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, NamedTuple

import redis
import redis.asyncio
from fastapi import Depends, Request

from api.http.thread_pool import RequestThreads, threads_of
from api.jobs.expected import ExpectedTimes
from api.metrics.charts.reader import SeriesReader
from api.metrics.evaluations.reader import EvaluationReader
from api.metrics.streams.hub import StreamHub
from optserve.contract.answers.jobs import Job, ListedJob
from store.jobs.record import Record
from store.jobs.views import Store
from store.storage.pool import StoragePool


# All of these are coroutines, although they wait for nothing: FastAPI calls a plain function in a
# thread, and a submission would change threads three times.
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


async def _evaluation_reader(request: Request) -> EvaluationReader:
    reader: EvaluationReader = request.app.state.evaluation_reader
    return reader


async def _stream_hub(request: Request) -> StreamHub:
    hub: StreamHub = request.app.state.stream_hub
    return hub


class SubmitServices(NamedTuple):
    """
    What a route needs to submit or validate jobs.

    All of this is one dependency, since FastAPI takes about 10 us to resolve a dependency. In this
    time a small job can be parsed.
    """

    tenant: str
    client: redis.asyncio.Redis
    blocking_client: redis.Redis
    expected_times: ExpectedTimes
    render: Callable[[Record], Job]
    threads: RequestThreads


async def _services(request: Request) -> SubmitServices:
    state = request.app.state
    return SubmitServices(
        tenant=await _tenant(),
        client=state.client,
        blocking_client=state.blocking_client,
        expected_times=state.expected_times,
        render=await _render(request),
        threads=threads_of(request.scope),
    )


Services = Annotated[SubmitServices, Depends(_services)]
"""What routes need that submit and validate jobs."""
Threads = Annotated[RequestThreads, Depends(_threads)]
"""The thread pool for this request, for work that would block the event loop if large."""
TenantName = Annotated[str, Depends(_tenant)]
"""The name of the tenant that owns the jobs in the request."""
JobStore = Annotated[Store, Depends(_store)]
"""The store, for reading jobs."""
Client = Annotated[redis.asyncio.Redis, Depends(_client)]
"""The async Redis client, for calls of the store's functions."""
BlockingClient = Annotated[redis.Redis, Depends(_blocking_client)]
"""The blocking Redis client, for waking workers: RQ, which wakes them, has no async client."""
RenderJob = Annotated[Callable[[Record], Job], Depends(_render)]
"""Function that returns the `Job` for a record, with the settings of this service."""
RenderListedJob = Annotated[Callable[..., ListedJob], Depends(_render_listed)]
"""Function that returns the `ListedJob` for a record; see `Record.listed`."""
StoredFiles = Annotated[StoragePool, Depends(_files)]
"""The pool through which routes read files. Without it, a storage that hangs would hang the whole
process."""
ChartReader = Annotated[SeriesReader, Depends(_series_reader)]
"""The reader of series for charts, with its cache."""
EvaluationsReader = Annotated[EvaluationReader, Depends(_evaluation_reader)]
"""The reader of evaluations, with its cache."""
Hub = Annotated[StreamHub, Depends(_stream_hub)]
"""The hub, which makes the event streams of this process."""


async def _record(job_id: str, tenant: TenantName, store: JobStore) -> Record:
    return await store.record(tenant, job_id)


JobRecord = Annotated[Record, Depends(_record)]
"""The record of the job in the URL. If there is no such job, the response is a 404."""
