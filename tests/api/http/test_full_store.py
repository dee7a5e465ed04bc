"""A store that cannot write: its disk is full, its memory is full, it is a replica, it loads."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import redis

from api.app import create_app
from optserve.local.embedded import EmbeddedServer
from optserve.local.valkey import ServerError
from store.settings import Settings
from tests.support.machine.disk import Disk, small_disk
from tests.support.store.protocol import SPEC

pytestmark = pytest.mark.anyio


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", megabytes=8) as mounted:
        yield mounted


@contextlib.asynccontextmanager
async def connected(url: str, home: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(OPTSERVE_REDIS_URL=url, home=home))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client


async def submitted(http: httpx.AsyncClient, number: int) -> httpx.Response:
    headers = {"Idempotency-Key": f"key-{number}"}
    return await http.post("/v1/jobs", json=SPEC, headers=headers, timeout=30)


async def test_a_store_on_a_full_disk_refuses_jobs_and_loses_none(
    disk: Disk, tmp_path: Path
) -> None:
    """The server dies at the first byte it cannot write, and comes back with all it answered."""
    with EmbeddedServer(disk.root) as server:
        async with connected(server.url, tmp_path) as http:
            disk.fill(but=256 * 1024)
            accepted: list[str] = []
            for number in range(2000):
                response = await submitted(http, number)
                if response.status_code != 201:
                    break
                accepted.append(response.json()["id"])

            refused = response
            with contextlib.suppress(ServerError):
                server.supervise()  # as the stack does: it may die again at once
            still_full = await submitted(http, number)
            disk.free()
            server.stop()
            server.start()
            again = await submitted(http, number)

            found = {job["id"] for job in await _all(http)}
        assert len(accepted) > 10
        assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
        assert refused.headers["retry-after"] == "2"
        assert still_full.status_code in (201, 503)
        assert again.status_code == 201
        assert found == {*accepted, again.json()["id"]}


async def _all(http: httpx.AsyncClient) -> list[dict[str, str]]:
    jobs: list[dict[str, str]] = []
    after: dict[str, str] = {}
    while True:
        page = (await http.get("/v1/jobs", params={"limit": 1000, **after})).json()
        jobs += page["data"]
        if not page["has_more"]:
            return jobs
        after = {"after": page["next"]}


@pytest.mark.parametrize(("name", "value"), [("maxmemory", "1mb"), ("min-replicas-to-write", "1")])
async def test_a_store_that_refuses_writes_is_a_503_and_reads_still_work(
    http: httpx.AsyncClient, client: redis.Redis, name: str, value: str
) -> None:
    job_id = (await submitted(http, 0)).json()["id"]
    before = str(client.config_get(name)[name])
    client.config_set(name, value)

    try:
        refused = await submitted(http, 1)
        read = await http.get(f"/v1/jobs/{job_id}")
    finally:
        client.config_set(name, before)
    again = await submitted(http, 1)

    assert (refused.status_code, refused.headers.get("retry-after")) == (503, "2")
    assert refused.json()["code"] == "store_unavailable"
    assert read.status_code == 200
    assert again.status_code == 201
    assert len(await _all(http)) == 2


async def test_a_replica_is_a_503(http: httpx.AsyncClient, client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", "1")

    try:
        refused = await submitted(http, 1)
    finally:
        client.replicaof("NO", "ONE")

    assert (refused.status_code, refused.headers.get("retry-after")) == (503, "2")


@pytest.mark.parametrize("said", ["OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN"])
def test_errors_of_a_store_that_cannot_write_are_recognized(said: str) -> None:
    from store.redis.functions import cannot_write  # noqa: PLC0415

    assert cannot_write(redis.ResponseError(f"{said} for some reason"))
    assert not cannot_write(redis.ResponseError("ERR wrong number of arguments"))
