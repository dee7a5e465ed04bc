"""What this process counts of itself: requests, streams, and how fast its store answers."""

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
"""Label of whatever has no name of its own: labels have as many values as there are names here."""


class ProcessMetrics:
    """
    What this process counts of itself.

    Attributes:
        registry: of all of it; no other part of the process writes there.
        store_seconds: how long calls of the store took.
    """

    def __init__(self, hub: StreamHub, files: StoragePool, connections: Connections) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody reads
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "optserve_http_requests",
            "Requests that were answered, by class of status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "optserve_http_request_seconds",
            "Seconds until a request was answered; of a stream, until it began.",
            ("method", "route"),
            buckets=ANSWERS_S,
            registry=self.registry,
        )
        self.store_seconds = Histogram(
            "optserve_store_seconds",
            "Seconds that calls of the store took, the wait for a connection included.",
            buckets=STORE_S,
            registry=self.registry,
        )
        self.registry.register(_Streams(hub))
        self.registry.register(_Connections(connections))
        Gauge(
            "optserve_hung_file_calls",
            "Calls on files that have not returned and for which nobody waits any more.",
            registry=self.registry,
        ).set_function(lambda: files.given_up)
        ProcessCollector(registry=self.registry)

    def answered(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; *route* is the template of its path."""
        method = method if method in METHODS else OTHER
        self._requests.labels(method, route, f"{status // 100}xx").inc()
        self._seconds.labels(method, route).observe(seconds)


class _Streams(Collector):
    """What is known of the streams."""

    def __init__(self, hub: StreamHub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """Yield it as it is now."""
        streams = self._hub.streams
        yield GaugeMetricFamily("optserve_streams", "Streams that are open.", streams.num_open)
        yield GaugeMetricFamily(
            "optserve_streamed_jobs", "Jobs that are watched.", self._hub.poller.num_jobs
        )
        yield CounterMetricFamily(
            "optserve_streams_dropped",
            "Clients that were cut off because they did not read, or not fast enough.",
            streams.dropped,
        )
        yield CounterMetricFamily(
            "optserve_streams_refused",
            "Clients that found as many streams open as there may be.",
            streams.refused,
        )


class _Connections(Collector):
    """What is known of the connections of clients."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        """Yield it as it is now."""
        found = self._connections
        yield GaugeMetricFamily(
            "optserve_connections", "Connections of clients that are open.", found.num_open
        )
        yield GaugeMetricFamily(
            "optserve_body_bytes",
            "Bytes of the bodies of requests whose answers have not begun.",
            found.bodies.total,
        )
        yield _counted(
            "optserve_connections_refused",
            "Connections that were refused because too many were open: of all clients, of one.",
            "limit",
            {limit: found.refused[limit] for limit in (ALL, PEER)},
        )
        yield _counted(
            "optserve_connections_closed",
            "Connections that the service has closed, by what their clients did or did not do.",
            "reason",
            {reason: found.closed[reason] for reason in CloseReason},
        )
        yield CounterMetricFamily(
            "optserve_out_of_descriptors",
            "Times that this process had no descriptor left when it looked, once a second.",
            found.out_of_descriptors,
        )


def _counted(name: str, what: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, what, labels=[label])
    for value, count in counts.items():
        family.add_metric([str(value)], count)
    return family
