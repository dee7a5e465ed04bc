"""The application in this process, or only its store, on a real server; no worker."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import redis
import redis.asyncio

from api.app import create_app
from optserve.local.embedded import EmbeddedServer
from store.jobs.views import Store
from store.settings import Settings
from store.storage.pool import StoragePool
from store.storage.storage import Storage
from tests.support.store.rounds import Rounds


@pytest.fixture
async def http(
    client: redis.Redis, server: EmbeddedServer, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application."""
    app = create_app(Settings(OPTSERVE_REDIS_URL=server.url, home=tmp_path))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as connected:
            yield connected


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """That of the application, which makes its folder when it starts."""
    found = Storage(tmp_path / "storage")
    found.root.mkdir(exist_ok=True)
    return found


@pytest.fixture
def rounds(client: redis.Redis, storage: Storage) -> Rounds:
    return Rounds(client, storage)


@pytest.fixture
async def store(
    client: redis.Redis, server: EmbeddedServer, storage: Storage
) -> AsyncIterator[Store]:
    """The store, read by a client of its own."""
    del client  # it has emptied the server, and given it the functions
    connected = redis.asyncio.from_url(server.url)
    yield Store(connected, StoragePool(storage))
    await connected.aclose()
