"""Clients that never read, or vanish without a word: cut off soon, and at nobody's expense."""

import asyncio
import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import redis

from benchmarks.watchers import steps_wanted
from benchmarks.watchers import submit as submit_endless
from benchmarks.watching.processes import process, rss, tell
from optserve.local.stack import Stack
from tests.api.metrics.streams.test_sessions import Job
from tests.support.http.sessions import Session
from tests.support.machine.processes import eventually
from tests.support.service.stacks import stack_with
from tests.support.store.protocol import append, begin, some_rows, submit

DROPPED_S = 45
BUFFER = 16 * 1024
"""What a dead client's machine takes before it says that it is full. Nobody can tell before."""


def metric(running: Stack, name: str) -> float:
    text = httpx.get(f"{running.url}/metrics").text
    (found,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(found.split()[1])


@contextmanager
def dead(
    running: Stack, job_ids: list[str], count: int, *, after: int, question: str = ""
) -> Iterator[None]:
    """Hold connections that ask for a stream (or *question*), read some of it and no more."""
    address = urlsplit(running.url)
    with ExitStack() as held:
        for i in range(count):
            client = held.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            client.connect((address.hostname, address.port))
            path = question or f"/v1/jobs/{job_ids[i % len(job_ids)]}/metrics/stream"
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            left = after
            while left > 0:
                left -= len(client.recv(left))
        yield


def test_dead_clients_are_cut_off_and_the_others_get_every_step(
    running: Stack, store: redis.Redis
) -> None:
    api = running.processes()["api"]
    job = Job(store, 14)
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


def test_who_does_not_read_an_export_is_cut_off_and_the_others_have_all_of_it(
    running: Stack, store: redis.Redis
) -> None:
    job = Job(store, 15)
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
    with dead(running, [job.id], 30, after=100, question=path):
        assert connections() > before  # the first ones may be cut off already
        whole = httpx.get(f"{running.url}{path}", timeout=60).text
        assert len(whole.splitlines()) == 100_001
        eventually(lambda: connections() < before + 5, within_s=12)
    assert "ERROR" not in (running.home / "logs" / "api.log").read_text()
    job.finish(held, rows=100_000)


def test_who_comes_when_too_many_watch_is_told_to_come_again(
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


def test_a_stream_that_is_silent_shows_that_it_lives(running: Stack, store: redis.Redis) -> None:
    job_id = submit(store)
    path = f"{running.url}/v1/jobs/{job_id}/metrics/stream"

    with httpx.stream("GET", path) as answer:
        lines = answer.iter_lines()
        told = [next(lines) for _ in range(9)]

    assert told[0].startswith("retry: ")
    assert told[2] == "event: state"
    assert told[5:9] == [": ping", "", ": ping", ""]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_thousand_clients_of_which_a_fifth_is_dead(tmp_path: Path) -> None:
    """With the limits as they are by default; 1,600 read 20 jobs of 100 steps a second each."""
    with (
        stack_with(tmp_path, workers=0) as running,
        redis.from_url(running.redis_url) as client,
    ):
        ids = [submit_endless(client) for _ in range(20)]
        paths = [f"/v1/jobs/{job_id}/metrics/stream" for job_id in ids]
        api = running.processes()["api"]
        with (
            process("trainers", running.redis_url, *ids),
            process("clients", running.url, "1600", *paths) as readers,
        ):
            assert readers.stdout is not None
            readers.stdout.readline()
            with dead(running, ids, 200, after=0), dead(running, ids, 200, after=5000):
                tell(readers, "begin")
                eventually(lambda: metric(running, "optserve_streams") == 1600, within_s=DROPPED_S)
                before = rss(api)
                time.sleep(60)
                after = rss(api)
                tell(readers, "stop")
                found = json.loads(readers.stdout.readline())
            connections = client.info("clients")["connected_clients"]

    assert found["fewest"] >= steps_wanted(found)
    assert abs(after / before - 1) <= 0.05
    assert connections <= 32 + 8 + 20
