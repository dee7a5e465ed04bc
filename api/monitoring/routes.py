"""The route that Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric

from api.http.dependencies import Hub
from api.monitoring.process_metrics import ProcessMetrics
from api.monitoring.service_metrics import families

router = APIRouter(tags=["system"])


async def _process(request: Request) -> ProcessMetrics:
    metrics: ProcessMetrics = request.app.state.process_metrics
    return metrics


class _Registry:
    """Presents metrics as a registry, since the Prometheus library writes only registries."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


@router.get("/metrics", response_class=PlainTextResponse)
async def scrape(
    hub: Hub, process: Annotated[ProcessMetrics, Depends(_process)]
) -> PlainTextResponse:
    """
    Return the metrics about the service and about this process, in Prometheus' text format.

    While the store does not respond, `optserve_store_up` is 0 and the metrics about the service are
    missing.
    """
    # Not collectors in a registry: a collector could not await the store.
    found = [*families(await hub.monitored()), *process.registry.collect()]
    text = generate_latest(cast("CollectorRegistry", _Registry(found)))
    return PlainTextResponse(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
