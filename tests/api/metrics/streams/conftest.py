"""A real store and a real API process, without workers: tests write the rows themselves."""

from collections.abc import Iterator

import pytest
import redis

from optserve.local import stack
from tests.support.service.stacks import stack_with

LIMITS = {
    "OPTSERVE_STREAM_PING_S": "0.5",
    "OPTSERVE_STREAM_STALL_S": "2",
    "OPTSERVE_STREAM_AGE_S": "30",
    "OPTSERVE_MAX_STREAMS": "300",
}
"""Short, so that tests do not wait for them."""


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.Stack]:
    """A stack without workers."""
    with stack_with(tmp_path_factory.mktemp("streams"), workers=0, **LIMITS) as started:
        yield started


@pytest.fixture
def store(running: stack.Stack) -> Iterator[redis.Redis]:
    """A client of its store."""
    with redis.from_url(running.redis_url) as client:
        yield client
