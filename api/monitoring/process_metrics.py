"""Metrics about this process: requests, streams, connections, and the latency of the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from api.connections.connections import ALL, PEER, Connections
from api.connections.refusals import CloseReason
from api.metrics.streams.hub import StreamHub
from store.storage.pool import StoragePool

ANSWERS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STORE_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OTHER = "other"
"""Label value for everything outside the fixed names, so that the number of values is bounded."""


class ProcessMetrics:
    """
    The metrics about this process.

    Attributes:
        registry: the registry that contains these metrics, and no others.
        store_seconds: histogram of the durations of calls to the store.
    """

    def __init__(self, hub: StreamHub, files: StoragePool, connections: Connections) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series
        # Not the library's global registry, which would refuse the metrics of a second application
        # in the same process.
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "optserve_http_requests",
            "Requests, by method, route and status class.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "optserve_http_request_seconds",
            "Duration of requests in seconds; for a stream, until the response began.",
            ("method", "route"),
            buckets=ANSWERS_S,
            registry=self.registry,
        )
        self.store_seconds = Histogram(
            "optserve_store_seconds",
            "Duration of calls to the store in seconds, including the wait for a connection.",
            buckets=STORE_S,
            registry=self.registry,
        )
        self.registry.register(_Streams(hub))
        self.registry.register(_Connections(connections))
        Gauge(
            "optserve_hung_file_calls",
            "File calls that timed out and have not returned yet.",
            registry=self.registry,
        ).set_function(lambda: files.given_up)
        ProcessCollector(registry=self.registry)

    def answered(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request and its duration; *route* is the template of the request's path."""
        method = method if method in METHODS else OTHER
        self._requests.labels(method, route, f"{status // 100}xx").inc()
        self._seconds.labels(method, route).observe(seconds)


class _Streams(Collector):
    """Metrics about the streams of this process."""

    def __init__(self, hub: StreamHub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with their present values."""
        streams = self._hub.streams
        yield GaugeMetricFamily("optserve_streams", "Open streams.", streams.num_open)
        yield GaugeMetricFamily(
            "optserve_streamed_jobs", "Jobs with open streams.", self._hub.poller.num_jobs
        )
        yield CounterMetricFamily(
            "optserve_streams_dropped",
            "Clients disconnected because they did not read fast enough.",
            streams.dropped,
        )
        yield CounterMetricFamily(
            "optserve_streams_refused",
            "Streams refused because too many were open.",
            streams.refused,
        )


class _Connections(Collector):
    """Metrics about the client connections of this process."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with their present values."""
        found = self._connections
        yield GaugeMetricFamily("optserve_connections", "Open client connections.", found.num_open)
        yield GaugeMetricFamily(
            "optserve_body_bytes",
            "Bytes of request bodies held in memory.",
            found.bodies.total,
        )
        yield _counted(
            "optserve_connections_refused",
            "Connections refused, by the limit reached: in all, or from one address (peer).",
            "limit",
            {limit: found.refused[limit] for limit in (ALL, PEER)},
        )
        yield _counted(
            "optserve_connections_closed",
            "Connections closed by the service, by reason.",
            "reason",
            {reason: found.closed[reason] for reason in CloseReason},
        )
        yield CounterMetricFamily(
            "optserve_out_of_descriptors",
            "Checks, made once a second, that found no free descriptor.",
            found.out_of_descriptors,
        )


def _counted(name: str, what: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, what, labels=[label])
    for value, count in counts.items():
        family.add_metric([str(value)], count)
    return family
