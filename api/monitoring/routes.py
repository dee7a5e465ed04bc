"""What Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric

from api.http.dependencies import StreamDesk
from api.monitoring.process_metrics import ProcessMetrics
from api.monitoring.service_metrics import families

router = APIRouter(tags=["system"])


async def _process(request: Request) -> ProcessMetrics:
    metrics: ProcessMetrics = request.app.state.process_metrics
    return metrics


class _Found:
    """What was found, in the form in which Prometheus' library wants it."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


@router.get("/metrics", response_class=PlainTextResponse)
async def scrape(
    desk: StreamDesk, process: Annotated[ProcessMetrics, Depends(_process)]
) -> PlainTextResponse:
    """
    Return what Prometheus monitors, in its text format: of the service, and of this process.

    While the store does not answer: `optserve_store_up 0`, and what this process knows by itself.
    """
    found = [*families(await desk.monitored()), *process.registry.collect()]
    text = generate_latest(cast("CollectorRegistry", _Found(found)))
    return PlainTextResponse(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
