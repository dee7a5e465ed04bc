"""What the tests of the functions share."""

from collections.abc import Iterator

import pytest
import redis

from optserve.local.embedded import EmbeddedServer
from store.redis.library import library


@pytest.fixture
def functions_restored(server: EmbeddedServer) -> Iterator[None]:
    """Give the server its own functions back, and let it flush every write again."""
    yield
    with redis.from_url(server.url) as client:
        client.config_set("appendfsync", "always")
        client.function_load(library(), replace=True)
