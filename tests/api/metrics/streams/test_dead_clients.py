"""Clients that stop reading are disconnected soon, and do not affect others."""

import asyncio
import random
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import redis

from optserve.local.stack import Stack
from tests.support.http.connections.dead_clients import dead, metric
from tests.support.http.sessions import Session
from tests.support.http.trained_job import TrainedJob
from tests.support.machine.processes import eventually
from tests.support.machine.usage import rss
from tests.support.store.protocol import append, begin, some_rows, submit

pytestmark = pytest.mark.long


def test_dead_clients_are_disconnected_and_the_others_get_every_step(
    running: Stack, store: redis.Redis
) -> None:
    api = running.processes()["api"]
    job = TrainedJob(store, 14)
    held = begin(store, "14", worker="14", fingerprint="14")
    append(store, held, 0, some_rows(0, 1))
    before = metric(running, "optserve_streams_dropped_total")
    readers = [
        Session(running.url, job.id, random.Random(i), polls=False, breaks=False) for i in range(80)
    ]

    async def all_of_it() -> None:
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for reader in readers:
                group.create_task(reader.run())
            await asyncio.to_thread(eventually, lambda: metric(running, "optserve_streams") == 100)
            idle = rss(api)
            done = 1
            while metric(running, "optserve_streams") > 80:
                append(store, held, done, some_rows(done, 500))
                done += 500
                await asyncio.sleep(0.1)
            assert rss(api) - idle < 30e6
            job.finish(held, rows=done)

    with dead(running, [job.id], 10, after=0), dead(running, [job.id], 10, after=100):
        asyncio.run(all_of_it())

    assert metric(running, "optserve_streams_dropped_total") - before == 20
    for reader in readers:
        assert [row[0] for row in reader.rows] == list(range(len(reader.rows)))
        assert (reader.ends, reader.connections) == (1, 1)
    assert len({len(reader.rows) for reader in readers}) == 1


def test_a_client_that_does_not_read_an_export_is_disconnected_and_others_get_all_of_it(
    running: Stack, store: redis.Redis
) -> None:
    job = TrainedJob(store, 15)
    held = begin(store, "15", worker="15", fingerprint="15")
    for first in range(0, 100_000, 20_000):
        append(store, held, first, some_rows(first, 20_000))
    path = f"/v1/jobs/{job.id}/metrics?format=csv"
    api = running.processes()["api"]

    def connections() -> int:
        """Return how many clients the API has a line to."""
        lines = [line.split() for line in Path(f"/proc/{api}/net/tcp").read_text().splitlines()]
        port = f":{urlsplit(running.url).port:04X}"
        return sum(line[1].endswith(port) and line[3] == "01" for line in lines)

    before = connections()
    with dead(running, [job.id], 30, after=100, path=path):
        assert connections() > before  # the first ones may be cut off already
        whole = httpx.get(f"{running.url}{path}", timeout=60).text
        assert len(whole.splitlines()) == 100_001
        eventually(lambda: connections() < before + 5, within_s=12)
    assert "ERROR" not in (running.home / "logs" / "api.log").read_text()
    job.finish(held, rows=100_000)


def test_a_stream_beyond_the_limit_gets_503_with_retry_after(
    running: Stack, store: redis.Redis
) -> None:
    job_id = submit(store)
    with dead(running, [job_id], 300, after=1):
        answer = httpx.get(f"{running.url}/v1/jobs/{job_id}/metrics/stream")

        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["code"] == "too_many_streams"
        assert "300 streams are open" in answer.json()["detail"]
        assert httpx.get(f"{running.url}/v1/jobs/{job_id}/metrics").status_code == 200
    eventually(lambda: metric(running, "optserve_streams") == 0)


def test_a_silent_stream_sends_pings(running: Stack, store: redis.Redis) -> None:
    job_id = submit(store)
    path = f"{running.url}/v1/jobs/{job_id}/metrics/stream"

    with httpx.stream("GET", path) as answer:
        lines = answer.iter_lines()
        told = [next(lines) for _ in range(9)]

    assert told[0].startswith("retry: ")
    assert told[2] == "event: state"
    assert told[5:9] == [": ping", "", ": ping", ""]
