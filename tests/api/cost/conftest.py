"""A real API process on a real store, without workers, and what tells how it bears its requests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis

from optserve.local.stack import Stack
from tests.support.http.service import Service
from tests.support.machine.processes import command_line, descendants, environment
from tests.support.service.stacks import stack_with


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack_with(tmp_path_factory.mktemp("cost"), workers=0) as started:
        yield started


@pytest.fixture(scope="package")
def service(running: Stack) -> Iterator[Service]:
    (pid,) = [pid for pid in descendants(os.getpid()) if is_api(pid, running)]
    with Service(running.url, pid) as found:
        found.post("/v1/jobs/validate", b"{}")  # the first request to a process takes longer
        yield found


@pytest.fixture
def store(running: Stack) -> Iterator[redis.Redis]:
    with redis.from_url(running.redis_url) as client:
        yield client


def is_api(pid: int, running: Stack) -> bool:
    return "api.app" in command_line(pid) and environment(pid).get("OPTSERVE_HOME") == str(
        running.home
    )
