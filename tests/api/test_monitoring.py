"""What Prometheus reads: true, complete, documented, and of bounded size."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from optserve.local.embedded import EmbeddedServer
from store.jobs import calls
from store.redis.functions import send
from tests.support.store.protocol import (
    LEASE_MS,
    append,
    ask,
    begin,
    claim,
    hello,
    release,
    some_rows,
    submit,
)

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"
UNITS = ("_seconds", "_bytes", "_total")
COUNTED = re.compile(
    r"^optserve_(jobs|set_aside_members|queued_jobs|workers|streams|streamed_jobs|store_up"
    r"|connections"
    r"|hung_file_calls)$"
)


async def scraped(http: httpx.AsyncClient) -> dict[str, Any]:
    """Return the metrics by name."""
    answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def values(family: Any, *labels: str) -> dict[Any, float]:
    """Return the samples of a metric that are not 0, by the values of *labels*."""
    found = {}
    for sample in family.samples:
        if sample.value and not sample.name.endswith("_created"):
            key = tuple(sample.labels[label] for label in labels)
            found[key[0] if len(key) == 1 else key] = sample.value
    return found


async def test_metrics_count_what_happened(http: httpx.AsyncClient, client: redis.Redis) -> None:
    for _ in range(4):
        submit(client)
    held = begin(client, "t1")
    append(client, held, 0, some_rows(0, 7))
    append(client, held, 5, some_rows(5, 3))
    release(client, held)
    held = begin(client, "t2")
    append(client, held, 0, some_rows(0, 10))
    send(client, calls.finish(held, rows=10, digest="d", result={}, artifacts={}))
    held = begin(client, "t3")
    ask(client, held.job_id, "pause")
    release(client, held)
    held = begin(client, "t4")
    send(client, calls.fail(held, reason="diverged", detail="x"))
    claim(client, "t5")
    hello(client, "w2")

    found = await scraped(http)

    assert values(found["optserve_steps"]) == {(): 10}
    assert values(found["optserve_attempts"]) == {(): 5}
    assert values(found["optserve_attempts_ended"], "outcome") == {
        "given_back": 1,
        "succeeded": 1,
        "paused": 1,
        "diverged": 1,
    }
    assert values(found["optserve_jobs"], "state") == {
        "running": 1,
        "succeeded": 1,
        "failed": 1,
        "paused": 1,
    }
    assert values(found["optserve_queued_jobs"], "lane") == {}
    assert values(found["optserve_workers"], "device", "state") == {
        ("cpu", "busy"): 1,
        ("cpu", "idle"): 1,
    }
    waits = found["optserve_queue_wait_seconds"].samples
    assert [s.value for s in waits if s.labels.get("le") == "+Inf"] == [5]
    assert values(found["optserve_store_up"]) == {(): 1}
    (lease,) = found["optserve_lease_left_seconds"].samples
    assert 0 < lease.value <= LEASE_MS / 1000


async def test_queued_jobs_are_counted_by_lane(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    submit(client, training={"steps": 10, "device": "cuda"})
    submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 3))
    release(client, held)

    found = await scraped(http)

    assert values(found["optserve_queued_jobs"], "lane") == {"cuda": 1, "fingerprint": 1}
    assert found["optserve_oldest_queued_seconds"].samples[0].value > 0
    assert found["optserve_lease_left_seconds"].samples == []


async def test_labels_have_few_values_whatever_clients_send(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    await scraped(http)
    before = sum(len(family.samples) for family in (await scraped(http)).values())
    for i in range(30):
        submit(client, tenant=f"tenant {i}", name=f"job {i}", labels={f"k{i}": "v"})
        await http.get(f"/v1/jobs/job_{i}")
        await http.get(f"/nothing/{i}")
        await http.request(f"ODD{i}", "/v1/jobs")
        hello(client, f"worker {i}", fingerprint=f"fingerprint {i}")
        held = begin(client, f"token {i}", worker=f"worker {i}", fingerprint=f"fingerprint {i}")
        send(client, calls.fail(held, reason=f"odd {i}", detail="x"))

    found = await scraped(http)

    after = sum(len(family.samples) for family in found.values())
    assert after - before < 120  # three more routes with their classes of time
    assert values(found["optserve_attempts_ended"], "outcome") == {"other": 30}
    routes = {s.labels["route"] for s in found["optserve_http_requests"].samples}
    assert routes == {"/metrics", "/v1/jobs/{job_id}", "/v1/jobs", "other"}
    text = (await http.get("/metrics")).text
    assert "tenant 1" not in text
    assert "job_1" not in text


async def test_a_scrape_without_the_store_has_the_metrics_of_the_process(
    http: httpx.AsyncClient, client: redis.Redis, server: EmbeddedServer
) -> None:
    del client
    server.kill()
    try:
        found = await scraped(http)
    finally:
        server.start()

    assert [s.value for s in found["optserve_store_up"].samples] == [0]
    assert "optserve_jobs" not in found
    assert "optserve_http_requests" in found or "optserve_streams" in found


async def test_metrics_have_units_in_their_names_and_help(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    submit(client)
    await http.get("/v1/jobs")

    for name, family in (await scraped(http)).items():
        assert family.documentation, name
        assert family.type in ("counter", "gauge", "histogram"), name
        full = f"{name}_total" if family.type == "counter" else name
        assert full.endswith(UNITS) or COUNTED.match(full) or full.startswith("process_"), full
        assert (family.type == "counter") == full.endswith("_total"), full


async def test_exactly_the_exported_metrics_are_documented(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    begin(client, submit(client))
    await http.get("/v1/jobs")
    found = await scraped(http)

    listed = re.findall(r"^\| `((?:optserve|process)_\w+)`", PAGE.read_text(), re.MULTILINE)

    assert listed == list(dict.fromkeys(listed))
    assert set(listed) == {
        f"{name}_total" if family.type == "counter" else name for name, family in found.items()
    }
