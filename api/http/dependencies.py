"""What routes are given: the tenant, the store, the record of the job in the path."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import redis
import redis.asyncio
from fastapi import Depends, Request

from api.http.thread_pool import RequestWork, work_of
from api.metrics.charts.reader import SeriesReader
from api.metrics.streams.hub import Desk
from optserve.contract.answers.jobs import Job, ListedJob
from store.jobs.record import Record
from store.jobs.views import Store
from store.storage.pool import StoragePool


async def _work(request: Request) -> RequestWork:
    return work_of(request.scope)


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


async def _shown(request: Request) -> Callable[[Record], Job]:
    return partial(Record.job, offer_after_s=request.app.state.offer_after_s)


async def _listed(request: Request) -> Callable[..., ListedJob]:
    return partial(Record.listed, offer_after_s=request.app.state.offer_after_s)


async def _files(request: Request) -> StoragePool:
    files: StoragePool = request.app.state.files
    return files


async def _reader(request: Request) -> SeriesReader:
    reader: SeriesReader = request.app.state.reader
    return reader


async def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


Effort = Annotated[RequestWork, Depends(_work)]
"""For work that would hold up the event loop, were the request large."""
TenantName = Annotated[str, Depends(_tenant)]
"""Whose jobs the request is about."""
JobStore = Annotated[Store, Depends(_store)]
"""For reading."""
Client = Annotated[redis.asyncio.Redis, Depends(_client)]
"""For writing."""
BlockingClient = Annotated[redis.Redis, Depends(_blocking_client)]
"""For routes that ring the bell, which is RQ's and blocks."""
Shown = Annotated[Callable[[Record], Job], Depends(_shown)]
"""What a client sees of a record, with the settings of this service."""
Listed = Annotated[Callable[..., ListedJob], Depends(_listed)]
"""What a client sees of a record in a list."""
StoredFiles = Annotated[StoragePool, Depends(_files)]
"""The only way to a file: who asks otherwise hangs with the storage, and others with it."""
ChartReader = Annotated[SeriesReader, Depends(_reader)]
"""For series that are looked at; it keeps what it has read."""
StreamDesk = Annotated[Desk, Depends(_desk)]
"""For routes that answer with a stream of events."""


async def _record(job_id: str, tenant: TenantName, store: JobStore) -> Record:
    return await store.record(tenant, job_id)


JobRecord = Annotated[Record, Depends(_record)]
"""The record of the job that the path names, or 404."""
