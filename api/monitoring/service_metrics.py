"""Metrics about the whole service, read from the store: the same in every API process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from api.monitoring.process_metrics import OTHER
from optserve.contract.states import Reason, State
from store.jobs.calls import Monitored
from store.redis.constants import WAITS_MS

LANES = ("auto", "cpu", "cuda", "fingerprint")
DEVICES = ("cpu", "cuda")
WORKER_STATES = {"idle": "idle", "busy": "busy", "unwell": "unhealthy"}
"""Stored state of a worker -> its state in the API and in the metrics."""
SET_ASIDE = (
    "lease",
    "deadline",
    "pending",
    "class",
    "ended",
    "archive",
    "history",
    "files",
    "size",
    "removed",
    "label",
    "worker",
)
"""The kinds of entries in the store that can be set aside, since processing them failed."""
ENDINGS = (
    *("succeeded", "cancelled", "paused", "given_back", "machine_fault", "lost"),
    *map(str, Reason),
)
"""
The outcomes of an attempt: the job succeeded, was cancelled or was paused; the worker gave the job
back because the worker shut down (``given_back``) or its machine was unfit (``machine_fault``); the
job was lost with its worker; or the reason why the job failed.
"""


def families(found: Monitored | None) -> Iterator[Metric]:
    """
    Yield the metrics about the service.

    Args:
        found: the figures from the store; None if the store does not respond.
    """
    yield GaugeMetricFamily(
        "optserve_store_up", "1 if the store responded, else 0.", int(found is not None)
    )
    if found is not None:
        yield from _now(found)
        yield from _counted(found.counters)


def _now(found: Monitored) -> Iterator[Metric]:
    queued = GaugeMetricFamily(
        "optserve_queued_jobs", "Queued jobs, by what they wait for.", labels=["lane"]
    )
    for lane, count in _named(found.queued, LANES).items():
        queued.add_metric([lane], count)
    yield queued
    jobs = GaugeMetricFamily("optserve_jobs", "Jobs.", labels=["state"])
    for state, count in _named(found.jobs, tuple(map(str, State))).items():
        jobs.add_metric([state], count)
    yield jobs
    workers = GaugeMetricFamily("optserve_workers", "Live workers.", labels=["device", "state"])
    for name, count in _named(
        found.workers, tuple(f"{device}/{state}" for device in DEVICES for state in WORKER_STATES)
    ).items():
        device, _, state = name.partition("/")
        workers.add_metric([device, WORKER_STATES.get(state, OTHER)], count)
    yield workers
    yield GaugeMetricFamily(
        "optserve_oldest_queued_seconds",
        "Seconds that the longest queued job has waited; 0 if none is queued.",
        (found.oldest_ms or 0) / 1000,
    )
    aside = GaugeMetricFamily(
        "optserve_set_aside_members",
        "Entries that could not be processed, by kind; `optserve doctor` lists them.",
        labels=["kind"],
    )
    for kind, count in _named(found.set_aside, SET_ASIDE).items():
        aside.add_metric([kind], count)
    yield aside
    lease = GaugeMetricFamily(
        "optserve_lease_left_seconds",
        "Seconds until the first lease expires; negative if its job was not requeued in time.",
    )
    if found.lease_ms is not None:
        lease.add_metric([], found.lease_ms / 1000)
    yield lease


def _counted(counters: Mapping[str, int]) -> Iterator[Metric]:
    yield CounterMetricFamily("optserve_steps", "Steps stored.", counters.get("steps", 0))
    yield CounterMetricFamily(
        "optserve_attempts", "Attempts started by workers.", counters.get("attempts", 0)
    )
    ended = CounterMetricFamily(
        "optserve_attempts_ended", "Attempts ended, by outcome.", labels=["outcome"]
    )
    prefix = "ended:"
    endings = {k.removeprefix(prefix): n for k, n in counters.items() if k.startswith(prefix)}
    for outcome, count in _named(endings, ENDINGS).items():
        ended.add_metric([outcome], count)
    yield ended
    yield _waits(counters)
    yield CounterMetricFamily(
        "optserve_stalled_seconds",
        "Seconds that training waited because rows could not be stored fast enough.",
        counters.get("held_up_ms", 0) / 1000,
    )


def _waits(counters: Mapping[str, int]) -> Metric:
    classes = [str(ms) for ms in WAITS_MS] + ["over"]
    # The store counts each wait in one class; a bucket of Prometheus contains all smaller ones.
    counts = accumulate(counters.get(f"waits:{name}", 0) for name in classes)
    bounds = [str(ms / 1000) for ms in WAITS_MS] + ["+Inf"]
    return HistogramMetricFamily(
        "optserve_queue_wait_seconds",
        "Seconds that jobs waited in the queue until a worker took them.",
        buckets=list(zip(bounds, counts, strict=True)),
        sum_value=counters.get("waited_ms", 0) / 1000,
    )


def _named(counts: Mapping[str, int], names: tuple[str, ...]) -> dict[str, int]:
    """Return the count for each of *names*, and under `OTHER` the sum of all other counts."""
    found = {name: counts.get(name, 0) for name in names}
    # A newer release may use the same store, and count under further names.
    rest = sum(count for name, count in counts.items() if name not in found)
    return {**found, OTHER: rest} if rest else found
