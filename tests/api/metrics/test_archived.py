"""Reading what was moved to files: whole, harmed, slow, or moved meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os

import httpx
import pytest
import redis

from api.metrics.streams.poller import Poller
from api.metrics.streams.subscriber import Subscriber
from store.jobs.views import Store
from store.redis import keys
from store.storage.storage import Storage
from tests.support.store.archiving import ROWS, fail, files, harmed, moved, refusal, rows, run
from tests.support.store.protocol import append
from tests.support.store.rounds import Rounds


@pytest.mark.anyio
@pytest.mark.parametrize("harm", ["missing", "damaged", "cut short"])
@pytest.mark.parametrize(
    "path",
    [
        "metrics?format=json",
        "metrics?format=csv",
        "metrics?format=parquet",
        "metrics/stream",
        "metrics/chart",
    ],
)
async def test_a_damaged_file_is_an_error_and_not_an_empty_answer(
    *,
    http: httpx.AsyncClient,
    client: redis.Redis,
    rounds: Rounds,
    storage: Storage,
    harm: str,
    path: str,
) -> None:
    held = run(client, storage)
    fail(client, held)
    moved(client, rounds)
    (file,) = files(storage, held.job_id, "*.parquet")
    said = harmed(storage, file, harm)

    answer = await http.get(f"/v1/jobs/{held.job_id}/{path}")

    assert refusal(answer) == said


@pytest.mark.anyio
async def test_a_client_with_all_steps_gets_the_end_without_the_file(
    http: httpx.AsyncClient, client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    held = run(client, storage)
    fail(client, held)
    moved(client, rounds)
    (file,) = files(storage, held.job_id, "*.parquet")
    file.unlink()

    answer = await http.get(f"/v1/jobs/{held.job_id}/metrics/stream?after={ROWS - 1}")

    assert answer.status_code == 200
    assert "event: end" in answer.text


@pytest.mark.anyio
async def test_a_record_read_before_its_rows_moved_finds_them_in_the_file(
    store: Store, client: redis.Redis, storage: Storage, rounds: Rounds
) -> None:
    held = run(client, storage)
    marks = client.get(keys.MARKS % ("local", held.job_id))
    fail(client, held)
    record = await store.record("local", held.job_id)
    assert "archive" not in record.fields

    moved(client, rounds)

    assert await store.rows(record, first=4090, count=20) == rows(4090, 20)
    assert await store.rows(record, first=ROWS - 1, count=1) == rows(ROWS - 1, 1)
    assert await store.data(record, first=ROWS, count=0) == b""
    assert await store.marks(record) == marks


@pytest.mark.anyio
async def test_a_slow_file_does_not_delay_streams_of_other_jobs(
    store: Store, client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    poller, subscriber = Poller(store), Subscriber()
    ended = run(client, storage, count=9)
    other = run(client, storage, count=9)
    with (
        poller.subscribed(await store.record("local", ended.job_id), subscriber) as slow,
        poller.subscribed(await store.record("local", other.job_id), subscriber) as quick,
    ):
        append(client, ended, 9, rows(9, 1))
        fail(client, ended)
        moved(client, rounds)
        (file,) = files(storage, ended.job_id, "*.parquet")
        file.unlink()
        os.mkfifo(file)  # who opens it waits for somebody who writes
        reading = asyncio.create_task(poller.poll_forever())
        try:
            async with asyncio.timeout(5):
                for step in range(9, 12):
                    append(client, other, step, rows(step, 1))
                    while quick.cursor.last < step:
                        await subscriber.wait()
            assert slow.cursor.last == 8

            os.close(os.open(file, os.O_WRONLY))

            async with asyncio.timeout(5):
                while not slow.abandoned:
                    await subscriber.wait()
        finally:
            with contextlib.suppress(OSError):
                os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))
            reading.cancel()
