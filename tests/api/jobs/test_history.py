"""A job's history as a stream."""

import json
import math
from typing import Any

import anyio
import httpx
import pytest
import redis

from api.metrics.streams.subscriber import Subscriber
from api.metrics.streams.subscription import follow_history
from store.errors import JobNotFound
from store.jobs import calls
from store.redis.functions import send
from tests.support.store.protocol import append, ask, begin, release, some_rows, submit

pytestmark = pytest.mark.anyio


def events(text: str) -> list[dict[str, Any]]:
    """Return the events of a stream, pings left out."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


async def test_a_history_is_streamed_up_to_its_last_entry(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job_id = submit(client)
    texts: list[str] = []

    async def read() -> None:
        texts.append((await http.get(f"/v1/jobs/{job_id}/events/stream")).text)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as both:
            both.start_soon(read)
            await anyio.sleep(0.1)  # the stream waits by now, or not: it must not matter
            held = begin(client)
            send(client, calls.release(held, why="test"))
            ask(client, job_id, "cancel")

    streamed = events(texts[0])
    listed = (await http.get(f"/v1/jobs/{job_id}/events")).json()["data"]
    assert [event["event"] for event in streamed] == [
        "submitted",
        "started",
        "requeued",
        "cancelled",
    ]
    assert [event["id"] for event in streamed] == ["1", "2", "3", "4"]
    assert [event["data"] for event in streamed] == listed


async def test_evaluations_are_streamed_with_the_history(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job_id = submit(client)
    held = begin(client)
    data = {"step": 2, "val_loss": 0.5, "val_accuracy": math.nan}
    append(client, held, 0, some_rows(0, 4))
    send(client, calls.evaluated(held, step=2, data=data))
    ask(client, job_id, "kill")
    release(client, held)

    streamed = events((await http.get(f"/v1/jobs/{job_id}/events/stream")).text)

    (evaluated,) = [event for event in streamed if event["event"] == "evaluated"]
    assert evaluated["data"]["data"] == {"step": 2, "val_loss": 0.5, "val_accuracy": "NaN"}
    assert evaluated["id"] == str(evaluated["data"]["id"])


async def test_a_stream_resumes_after_the_last_event_id(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job_id = submit(client)
    ask(client, job_id, "pause")
    ask(client, job_id, "cancel")
    path = f"/v1/jobs/{job_id}/events/stream"

    rest = events((await http.get(path, headers={"Last-Event-ID": "1"})).text)
    nothing = events((await http.get(path, params={"after": 3})).text)

    assert [event["id"] for event in rest] == ["2", "3"]
    assert nothing == []


async def test_a_stream_ends_when_its_job_is_deleted(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job_id = submit(client)
    ask(client, job_id, "cancel")
    path = f"/v1/jobs/{job_id}/events/stream"
    send(client, calls.expire(limit=1, max_age_ms=None, max_jobs=0, max_bytes=None))

    assert (await http.get(path)).status_code == 404


async def test_a_stream_ends_when_its_job_is_deleted_while_a_client_catches_up(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    app: Any = http._transport.app  # type: ignore[attr-defined]  # of ASGITransport
    store, poller = app.state.store, app.state.stream_hub.poller
    job_id = submit(client)
    for _ in range(60):
        ask(client, job_id, "pause")
        ask(client, job_id, "resume")
    ask(client, job_id, "cancel")
    record = await store.record("local", job_id)
    entries = follow_history(record, 0, poller, store, Subscriber())
    assert (await anext(entries)).startswith(b"retry: ")
    assert (await anext(entries)).count(b"event: ") == 100
    send(client, calls.expire(limit=1, max_age_ms=None, max_jobs=0, max_bytes=None))

    with anyio.fail_after(5), pytest.raises(JobNotFound):
        await anext(entries)
