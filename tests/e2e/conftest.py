"""The real thing: server, API process and worker, started as `optserve up` starts them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from optserve.client import Client
from optserve.local import stack


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Iterator[stack.Stack]:
    """A stack of its own, with one worker, on this checkout's data directory."""
    home = tmp_path_factory.mktemp("stack")
    with ExitStack() as whole:
        with pytest.MonkeyPatch.context() as environment:  # of this stack, not of those of tests
            environment.setenv("OPTSERVE_DATA", str(data_dir.resolve()))
            environment.setenv("OPTSERVE_LEASE_S", "5")  # a dead worker is noticed sooner
            started = whole.enter_context(stack.running(home=home, port=0, workers=1))
        yield started


@pytest.fixture
def service(running: stack.Stack) -> Iterator[Client]:
    """A client of the stack."""
    with Client(running.url) as client:
        yield client


@pytest.fixture
def http(running: stack.Stack) -> Iterator[httpx.Client]:
    """The stack, by bare HTTP."""
    with httpx.Client(base_url=running.url, timeout=30) as client:
        yield client
