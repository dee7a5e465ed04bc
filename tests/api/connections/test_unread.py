"""Unread responses of every kind: bounded in memory, aborted in time, and counted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from optserve.local.stack import Stack
from tests.support.http.connections.raw import BUFFER, connected, metric
from tests.support.http.connections.short_limits import STALL_S
from tests.support.machine.processes import eventually
from tests.support.machine.usage import rss
from tests.support.service.stacks import stack_with
from tests.support.store.parents import Parent
from tests.support.store.protocol import append, begin, some_rows, submit

pytestmark = pytest.mark.long

MANY = 30
"""Clients at once."""
CUT_S = STALL_S + 20
"""Time until all are aborted on a busy machine, including that to make the responses."""
HELD = 3 * 2**20
"""What each may hold meanwhile: a page, or a part of an export and the rows it is made of."""
ROWS = 100_000


class Jobs(NamedTuple):
    """A job with many rows that runs, and one that has ended with a large network."""

    running: str
    ended: str


@pytest.fixture(scope="module")
def jobs(running: Stack) -> Jobs:
    with redis.from_url(running.redis_url) as store:
        parent = Parent(store, running.home / "storage")
        parent.succeeded(bytes(20 * 2**20))
        job_id = submit(store, training={"steps": ROWS, "device": "cpu"})
        held = begin(store, "t2")
        for first in range(0, ROWS, 20_000):
            append(store, held, first, some_rows(first, 20_000))
        return Jobs(job_id, parent.id)


def request(method: str, path: str, body: object = None) -> bytes:
    text = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(text) + text


PREVIEW = {"schedule": {"kind": "cosine"}, "lr": 0.1, "total_steps": 30_000}
ANSWERS = {
    "csv": ("GET", "/v1/jobs/{running}/metrics?format=csv", None),
    "parquet": ("GET", "/v1/jobs/{running}/metrics?format=parquet", None),
    "artifact": ("GET", "/v1/jobs/{ended}/artifacts/model.safetensors", None),
    "range": ("GET", "/v1/jobs/{ended}/artifacts/model.safetensors", None),
    "page": ("GET", "/v1/jobs/{running}/metrics?limit=10000", None),
    "chart": ("GET", "/v1/jobs/{running}/metrics/chart?max_points=10000", None),
    "preview": ("POST", "/v1/schedules/preview", PREVIEW),
    "preview csv": ("POST", "/v1/schedules/preview?format=csv", PREVIEW),
    "openapi": ("GET", "/openapi.json", None),
    "stream": ("GET", "/v1/jobs/{running}/metrics/stream", None),
}


@contextmanager
def unread(running: Stack, raw: bytes, count: int) -> Iterator[None]:
    """Hold connections that ask and read nothing."""
    with ExitStack() as held:
        for _ in range(count):
            held.enter_context(connected(running, buffer=BUFFER)).sendall(raw)
        yield


def closed(running: Stack, kind: str) -> float:
    if kind == "stream":
        return metric(running, "optserve_streams_dropped_total")
    return metric(running, "optserve_connections_closed_total", reason="unread")


def raw_of(kind: str, jobs: Jobs) -> bytes:
    method, path, body = ANSWERS[kind]
    raw = request(method, path.format(**jobs._asdict()), body)
    if kind == "range":
        return raw.replace(b"Host", b"Range: bytes=0-1000,5000000-15000000\r\nHost")
    return raw


@pytest.fixture(scope="module")
def _begun(running: Stack, jobs: Jobs) -> None:
    """What the first answers of each kind import and keep is there."""
    with ExitStack() as held:
        for kind in ANSWERS:
            held.enter_context(unread(running, raw_of(kind, jobs), 3))
        eventually(lambda: metric(running, "optserve_connections") <= 2)


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind in ("csv", "range", "page") else pytest.param(kind, marks=pytest.mark.slow)
        for kind in ANSWERS
    ],
)
@pytest.mark.usefixtures("_begun")
def test_an_unread_response_is_aborted_in_time_and_counted(
    running: Stack, jobs: Jobs, kind: str
) -> None:
    raw, api = raw_of(kind, jobs), running.processes()["api"]
    before, counted, sizes = rss(api), closed(running, kind), []

    def all_cut() -> bool:
        sizes.append(rss(api))
        return closed(running, kind) == counted + MANY

    with unread(running, raw, MANY):
        start = time.monotonic()
        eventually(all_cut, within_s=CUT_S)
        took_s = time.monotonic() - start

    assert took_s > STALL_S / 2
    assert max(sizes) - before < 20e6 + MANY * HELD
    eventually(lambda: metric(running, "optserve_connections") <= 2)


def test_a_slow_reader_is_not_disconnected(running: Stack, jobs: Jobs) -> None:
    """All of the response takes twice the stall timeout, but no part of it does."""
    raw = request("GET", f"/v1/jobs/{jobs.running}/metrics?limit=10000")
    found = 0

    with connected(running, buffer=BUFFER) as client:
        client.sendall(raw.replace(b"Host", b"Connection: close\r\nHost"))
        while part := client.recv(60_000):
            found += len(part)
            time.sleep(STALL_S / 8)  # what is slow is the client

    assert found > 500_000


def test_beyond_the_limit_of_unsent_bytes_the_longest_stalled_are_disconnected(
    tmp_path: Path,
) -> None:
    """The limit is one megabyte and each page has half of one; no stall timeout has passed yet."""
    limits = {"OPTSERVE_MAX_UNSENT_BYTES": str(2**20), "OPTSERVE_STREAM_STALL_S": "600"}
    with (
        stack_with(tmp_path, workers=0, **limits) as running,
        redis.from_url(running.redis_url) as store,
    ):
        job_id = submit(store, training={"steps": 10_000, "device": "cpu"})
        append(store, begin(store), 0, some_rows(0, 10_000))
        raw = request("GET", f"/v1/jobs/{job_id}/metrics?limit=10000")
        cut = "optserve_connections_closed_total"

        with unread(running, raw, 6):
            eventually(lambda: metric(running, cut, reason="unsent") >= 4)
            left = metric(running, "optserve_connections")

    assert left >= 2  # this one, and one that waits
