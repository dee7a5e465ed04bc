"""A storage that hangs: only requests that need its files wait."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import redis
import redis.asyncio
from fastapi import FastAPI

from api.app import create_app
from optserve.contract.states import State
from optserve.local.embedded import EmbeddedServer
from store.jobs import calls
from store.jobs.views import Store
from store.redis.functions import send
from store.settings import Settings
from store.storage.names import archive_folder, attempt_folder
from store.storage.pool import StoragePool
from store.storage.storage import Storage
from tests.support.machine.processes import eventually
from tests.support.store.protocol import append, begin, claim, some_rows, state_of, submit
from tests.support.store.rounds import Rounds

READERS = 60
"""More than asyncio's executor has threads on a machine of 32 processors."""


@pytest.fixture
def app(client: redis.Redis, server: EmbeddedServer, tmp_path: Path) -> FastAPI:
    """An application that takes jobs back after a second."""
    del client  # the server is empty
    return create_app(Settings(OPTSERVE_REDIS_URL=server.url, home=tmp_path, lease_s=1.1))


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as connected:
            yield connected


@contextmanager
def hanging(path: Path) -> Iterator[None]:
    """Let whoever opens a file hang, as one on a mount that is away."""
    path.unlink()
    os.mkfifo(path)
    try:
        yield
    finally:
        handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # those that hang go on, to an end
        path.unlink()
        os.close(handle)


def moved(client: redis.Redis, home: Path) -> tuple[str, Path]:
    """Return a job that has ended, and the file that its rows were moved to."""
    submit(client)
    ended = begin(client, "t" * 32)
    append(client, ended, 0, some_rows(0, 5))
    storage = Storage(home / "storage")
    (storage.root / attempt_folder("local", ended.job_id, 1, ended.token)).mkdir(parents=True)
    send(client, calls.fail(ended, reason="error", detail="enough"))
    folder = storage.root / archive_folder("local", ended.job_id)

    def there() -> bool:
        Rounds(client, storage, Settings()).run()
        return list(folder.glob("*-rows.parquet")) != []

    eventually(there)
    (path,) = folder.glob("*-rows.parquet")
    return ended.job_id, path


@pytest.mark.anyio
async def test_a_lost_job_is_requeued_while_files_hang(
    http: httpx.AsyncClient, client: redis.Redis, tmp_path: Path
) -> None:
    job_id, path = await asyncio.to_thread(moved, client, tmp_path)

    with hanging(path):
        url = f"/v1/jobs/{job_id}/metrics"
        reading = [asyncio.create_task(http.get(url)) for _ in range(READERS)]
        await asyncio.sleep(0.5)
        lost = submit(client)
        claim(client, "u" * 32, lease_ms=0)
        for _ in range(50):
            await asyncio.sleep(0.1)
            if state_of(client, lost) is not State.RUNNING:
                break
        found = state_of(client, lost)
        answered = [task for task in reading if task.done()]
    answers = await asyncio.gather(*reading)

    assert found is State.QUEUED
    assert not answered
    assert {answer.status_code for answer in answers} == {500}


@pytest.mark.anyio
async def test_a_request_for_a_hanging_file_times_out(
    app: FastAPI,
    http: httpx.AsyncClient,
    client: redis.Redis,
    server: EmbeddedServer,
    tmp_path: Path,
) -> None:
    job_id, path = await asyncio.to_thread(moved, client, tmp_path)
    asynchronous = redis.asyncio.from_url(server.url)
    files = StoragePool(Storage(tmp_path / "storage"), timeout_s=0.2)
    app.state.store = Store(asynchronous, files)

    with hanging(path):
        answer = await http.get(f"/v1/jobs/{job_id}/metrics")
    await asynchronous.aclose()

    name = path.relative_to(tmp_path / "storage")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert answer.json()["code"] == "storage_unavailable"
    assert answer.json()["detail"] == (
        f"the file {name} in the storage could not be read within 0.2 s"
    )
