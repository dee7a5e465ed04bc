"""A real API process with short limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from optserve.local.stack import Stack
from tests.support.http.connections.short_limits import LIMITS
from tests.support.service.stacks import stack_with


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack without workers."""
    with stack_with(tmp_path_factory.mktemp("connections"), workers=0, **LIMITS) as started:
        yield started


@pytest.fixture
def store(running: Stack) -> Iterator[redis.Redis]:
    """A client of its store."""
    with redis.from_url(running.redis_url) as client:
        yield client
