"""The stack in real containers; `make compose-test` gives these tests an engine."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from optserve.client import Client
from tests.support.service.composed import Composed, composed
from tests.support.service.composed_jobs import SOME
from tests.support.service.jobs import finished

QUICK = Path(__file__).parent / "quick.yml"


@pytest.fixture(scope="session")
def engine() -> None:
    """Skip where there is none."""
    if "COMPOSE_TEST_COMMAND" not in os.environ:
        pytest.skip("needs a container engine: make compose-test")


@pytest.fixture(scope="session")
def stack(engine: None) -> Iterator[Composed]:
    """The stack with two workers, from images that scripts/compose-test has built."""
    del engine
    variables = {
        "API_PORT": str(free_port()),  # the same when the API is made anew
        "OPTSERVE_WORKERS_ON_MACHINE": "2",
        "OPTSERVE_LEASE_S": "5",  # a dead worker is noticed sooner
    }
    with composed("optserve-test", QUICK, **variables) as started:
        started.run("up", "-d", "--scale", "worker=2")
        started.wait_until_ready()
        yield started


@pytest.fixture
def service(stack: Composed) -> Iterator[Client]:
    """A client of the stack."""
    with Client(stack.url) as client:
        yield client


@pytest.fixture(scope="session")
def undisturbed(stack: Composed) -> str:
    """The digest of a job that nothing happens to."""
    with Client(stack.url) as client:
        job = finished(client, client.submit(SOME).id)
    assert job.digest is not None
    return job.digest


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
