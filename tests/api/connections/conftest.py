"""A real API process with short limits, and clients that keep to none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from optserve.local.stack import Stack
from tests.support.service.stacks import stack_with

HEAD_S, BODY_S, PACE, IDLE_S, STALL_S = 1.5, 1.5, 500.0, 2.5, 1.5
TOTAL, OF_A_PEER = 120, 80
LIMITS = {
    "OPTSERVE_HEAD_TIMEOUT_S": str(HEAD_S),
    "OPTSERVE_BODY_TIMEOUT_S": str(BODY_S),
    "OPTSERVE_BODY_BYTES_PER_S": str(PACE),
    "OPTSERVE_IDLE_TIMEOUT_S": str(IDLE_S),
    "OPTSERVE_STREAM_STALL_S": str(STALL_S),
    "OPTSERVE_MAX_CONNECTIONS": str(TOTAL),
    "OPTSERVE_MAX_CONNECTIONS_PER_PEER": str(OF_A_PEER),
}
"""Short, so that nobody waits for them."""


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
