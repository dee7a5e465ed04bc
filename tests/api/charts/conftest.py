"""A store as the service reads it, and jobs with rows in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis
import redis.asyncio

from jobs.artifacts import Storage
from jobs.store import Store
from optserve.embedded import EmbeddedServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(
    client: redis.Redis, server: EmbeddedServer, tmp_path: Path
) -> AsyncIterator[Store]:
    """The store, read by a client of its own."""
    del client  # it has emptied the server, and given it the functions
    connected = redis.asyncio.from_url(server.url)
    yield Store(connected, Storage(tmp_path))
    await connected.aclose()
