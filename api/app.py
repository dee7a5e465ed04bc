"""The API application; ``python -m api.app`` starts it."""

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

import uvicorn
from fastapi import Depends, FastAPI
from fastapi.responses import RedirectResponse

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
from api.http.thread_pool import FairThreadPool
from api.jobs import actions, clones, files, history
from api.jobs import routes as jobs
from api.jobs.expected import ExpectedTimes
from api.metrics import routes as metrics
from api.metrics.charts import routes as charts
from api.metrics.charts.reader import SeriesReader
from api.metrics.evaluations import routes as evaluations
from api.metrics.evaluations.reader import EvaluationReader
from api.metrics.streams import hub
from api.monitoring import routes as monitoring
from api.monitoring import system
from api.monitoring.process_metrics import ProcessMetrics
from api.monitoring.request_counts import CountedRequests
from api.monitoring.store_latency import time_calls
from control.rounds import LEAVE_S, rounds_of, run_forever
from store.jobs.views import Store
from store.packages import require_packages
from store.redis.connect import connect, connect_async
from store.redis.functions import UNAVAILABLE
from store.redis.server import prepare
from store.redis.waiting import require_settings, require_store
from store.settings import Settings
from store.storage import preflight
from store.storage.pool import StoragePool
from store.storage.storage import Storage

log = logging.getLogger(__name__)

STORE_TIMEOUT_S = 5.0
"""Seconds that a request waits for a connection to the store, and for the reply of the store."""
RETRIES = 3
"""Number of retries of a store command, all within a second; if they fail, the client gets 503 and
may repeat the request."""
CONNECTIONS = 32
"""Maximum connections to the store for requests; streams have connections of their own."""
SHUTDOWN_S = 3
"""Seconds that open streams have to end when the service stops."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application with *settings*. At its start, it connects to the store."""
    # Filled when the application starts; middleware has to be added earlier.
    process_metrics: list[ProcessMetrics] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        blocking = connect(settings.store_url, timeout_s=STORE_TIMEOUT_S, retries=RETRIES)
        client = connect_async(
            settings.store_url,
            max_connections=CONNECTIONS,
            timeout_s=STORE_TIMEOUT_S,
            retries=RETRIES,
        )
        # Not the connections for requests: streams that catch up would use all of those.
        streaming = hub.connect(settings.store_url)
        with contextlib.suppress(*UNAVAILABLE):  # unreachable again: the reaper repeats it
            prepare(blocking)
        app.state.client, app.state.blocking_client = client, blocking
        storage = Storage(settings.storage_dir)
        app.state.files = StoragePool(storage, timeout_s=settings.storage_patience_s)
        app.state.store = Store(client, app.state.files)
        app.state.expected_times = ExpectedTimes(app.state.store)
        app.state.series_reader = SeriesReader(app.state.store)
        app.state.evaluation_reader = EvaluationReader(app.state.store)
        app.state.stream_hub = hub.StreamHub(Store(streaming, app.state.files), settings)
        connections = Connections(Limits.of(settings))
        app.state.process_metrics = ProcessMetrics(
            app.state.stream_hub, app.state.files, connections
        )
        process_metrics.append(app.state.process_metrics)
        for each in (client, streaming):
            time_calls(each, app.state.process_metrics.store_seconds.observe)
        app.state.offer_after_s = settings.offer_after_s
        streams = asyncio.create_task(app.state.stream_hub.run_forever())
        enforcing = asyncio.create_task(connections.enforce_forever())
        tasks = [streams, enforcing]
        if settings.control == "api":
            rounds = rounds_of(blocking, storage, settings)
            tasks.append(asyncio.create_task(run_forever(rounds)))
        for task in tasks:
            task.add_done_callback(_stop_if_failed)
        try:
            yield {"connections": connections}  # read by `Protocol`
        finally:
            for task in tasks:
                task.cancel()
            # With a timeout, since a cancellation may be lost: up to Python 3.11,
            # asyncio.wait_for, through which the client sends, can swallow it.
            await asyncio.wait(tasks, timeout=SHUTDOWN_S + LEAVE_S)
            # After the tasks: a control round that is ending still uses the blocking client.
            await client.aclose()
            await streaming.aclose()
            blocking.close()
            app.state.thread_pool.close()

    app = FastAPI(
        title="optserve",
        description="Training as a service: submit a job, read lr and loss of every step.",
        lifespan=lifespan,
        dependencies=[Depends(only_known)],
        responses=problems.EVERYWHERE,
        # FastAPI's pages load Swagger UI from a CDN; `docs.install` adds one without it.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.thread_pool = FairThreadPool()
    problems.install(app)
    openapi.install(app)
    # Each middleware wraps those added before it. So Host and Origin are checked before a body is
    # read, and requests that any middleware refuses are counted.
    app.add_middleware(StrictBody, max_bytes=settings.max_body_bytes)  # the innermost
    app.add_middleware(SameOrigin)
    app.add_middleware(AllowedHosts, names=settings.hosts)
    app.add_middleware(CountedRequests, metrics=process_metrics)
    for routes in (jobs, actions, clones, metrics, charts, evaluations, history, files):
        app.include_router(routes.router)
    for routes in (previews, catalogue, system, monitoring):
        app.include_router(routes.router)
    docs.install(app)

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("docs")

    return app


def _stop_if_failed(task: asyncio.Task[None]) -> None:
    """Stop the service if *task* failed, since the service needs all of its tasks."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("a task of the service failed: the service stops", exc_info=error)
        # Through uvicorn's own handler, so that the service shuts down in order.
        signal.raise_signal(signal.SIGTERM)


def _allow_many_connections() -> None:
    """Raise this process's limit on open descriptors to the maximum that the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    """Run the service until a signal stops it."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s api %(levelname)s %(message)s", force=True
    )
    settings = require_settings()
    require_packages()
    preflight.require(preflight.of_api(settings))
    require_store(settings)
    # Before the application starts: `Limits.of` derives the number of connections from this limit.
    _allow_many_connections()
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Protocol,
        # An upgrade would pass the connection to a protocol without the limits of `Protocol`.
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    server = uvicorn.Server(config)
    # Imported objects live as long as the process. Unfrozen, the garbage collector would scan them
    # in every full collection, and delay all requests by a tenth of a second each time.
    gc.collect()
    gc.freeze()
    server.run()
    # `run` returns normally even if the lifespan failed to start.
    if not server.started:
        sys.exit(1)


if __name__ == "__main__":
    main()
