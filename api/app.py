"""The application: ``python -m api.app``."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.retry
import uvicorn
from fastapi import Depends, FastAPI
from fastapi.responses import RedirectResponse
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from api.browsers import docs
from api.browsers.hosts import AllowedHosts
from api.browsers.origins import SameOrigin
from api.catalogue import previews
from api.catalogue import routes as catalogue
from api.connections.connections import Connections
from api.connections.limits import Limits
from api.connections.protocol import Protocol
from api.http import openapi, problems
from api.http.body import StrictBody
from api.http.params import only_known
from api.http.thread_pool import Work
from api.jobs import actions, clones, history
from api.jobs import routes as jobs
from api.metrics import routes as metrics
from api.metrics.charts import routes as charts
from api.metrics.charts.reader import SeriesReader
from api.metrics.streams import hub
from api.monitoring import routes as monitoring
from api.monitoring import system
from api.monitoring.process_metrics import ProcessMetrics
from api.monitoring.request_counts import CountedRequests
from api.monitoring.store_latency import time_calls
from control.reaper import LEAVE_S, reap_forever
from control.retention import House
from store.jobs.views import Store
from store.redis.functions import UNAVAILABLE
from store.redis.server import prepare
from store.redis.waiting import require_settings, require_store
from store.settings import Settings
from store.storage import preflight
from store.storage.artifacts import Storage
from store.storage.pool import StoragePool

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""Seconds a request may wait for the store."""
CONNECTIONS = 32
"""To the store, for all requests but streams; more of them wait for one."""
SHUTDOWN_S = 3
"""Seconds that open streams get when the service stops."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application; it connects when it starts."""
    counting: list[ProcessMetrics] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        # A few quick retries only: a client that waits is told so, and may try again.
        retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 3)
        blocking = redis.from_url(settings.store_url, socket_timeout=PATIENCE_S, retry=retry)
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            settings.store_url,
            max_connections=CONNECTIONS,
            timeout=PATIENCE_S,
            socket_timeout=PATIENCE_S,
            retry=redis.asyncio.retry.Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
        )
        client = redis.asyncio.Redis.from_pool(pool)
        streaming = hub.connect(settings.store_url)
        with contextlib.suppress(*UNAVAILABLE):  # it went away just now: the reaper will see to it
            prepare(blocking)
        app.state.client, app.state.blocking_client = client, blocking
        storage = Storage(settings.storage_dir)
        app.state.files = StoragePool(storage, patience_s=settings.storage_patience_s)
        app.state.store = Store(client, app.state.files)
        app.state.reader = SeriesReader(app.state.store)
        app.state.desk = hub.Desk(Store(streaming, app.state.files), settings)
        connections = Connections(Limits.of(settings))
        app.state.process_metrics = ProcessMetrics(app.state.desk, app.state.files, connections)
        counting.append(app.state.process_metrics)
        for each in (client, streaming):
            time_calls(each, app.state.process_metrics.store_seconds.observe)
        app.state.offer_after_s = settings.offer_after_s
        house = House(blocking, storage, settings)
        reaper = asyncio.create_task(reap_forever(blocking, house, lease_s=settings.lease_s))
        streams = asyncio.create_task(app.state.desk.serve_forever())
        looking = asyncio.create_task(connections.look_after_forever())
        tasks = (reaper, streams, looking)
        for task in tasks:
            task.add_done_callback(_leave_if_it_failed)
        try:
            yield {"connections": connections}  # for the protocol
        finally:
            for task in tasks:
                task.cancel()
            # Not for good: asyncio.wait_for, through which the client sends, may lose a
            # cancellation up to Python 3.11.
            await asyncio.wait(tasks, timeout=SHUTDOWN_S + LEAVE_S)
            await client.aclose()
            await streaming.aclose()
            blocking.close()
            app.state.work.close()

    app = FastAPI(
        title="optserve",
        description="Training as a service: post a job, read the lr and loss of every step.",
        lifespan=lifespan,
        dependencies=[Depends(only_known)],
        responses=problems.EVERYWHERE,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.work = Work()
    problems.install(app)
    openapi.install(app)
    app.add_middleware(StrictBody, max_bytes=settings.max_body_bytes)  # a request comes here last
    app.add_middleware(SameOrigin)
    app.add_middleware(AllowedHosts, names=settings.hosts)
    app.add_middleware(CountedRequests, metrics=counting)
    for routes in (jobs, actions, clones, metrics, charts, history, previews, catalogue):
        app.include_router(routes.router)
    for routes in (system, monitoring):
        app.include_router(routes.router)
    docs.install(app)

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("docs")

    return app


def _leave_if_it_failed(task: asyncio.Task[None]) -> None:
    """End the process if its reaper did: without one, jobs of dead workers stay "running"."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("a task of the service failed: the service stops", exc_info=error)
        signal.raise_signal(signal.SIGTERM)


def _allow_many_connections() -> None:
    """Let this process have as many open at a time as the system lets it have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """Serve until told to stop."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s api %(levelname)s %(message)s", force=True
    )
    settings = require_settings()
    preflight.require(preflight.of_api(settings))
    require_store(settings)
    _allow_many_connections()
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    server = uvicorn.Server(config)
    # What was imported stays. Looked through again and again by the collector of garbage, it
    # would hold up every request for a tenth of a second now and then.
    gc.collect()
    gc.freeze()
    server.run()
    if not server.started:
        sys.exit(1)


if __name__ == "__main__":
    main()
