"""What tests of all kinds share."""

import fcntl
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from xdist.scheduler import LoadScopeScheduling

from optcore.data.errors import FetchFailed
from optcore.data.sources.mnist_fetch import fetch_mnist
from optserve.local.embedded import EmbeddedServer
from store.redis.server import prepare
from worker.processes.trainers import environment

os.environ.update(environment(os.environ))  # as trainers do; read when torch is imported

pytest_plugins = ["tests.support.application"]
ROOT = Path(__file__).parents[1]


PATIENT = ("test_clocks.py", "test_command.py", "test_submissions.py")
"""Files of whole stacks in which no moment counts: they may run beside another stack."""
TIMEOUT_S = 300
"""Of a test in an event loop; that of others is in pyproject.toml."""


class StacksAlone(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types here
    """Deals tests to processes that run side by side: files stay whole, and stacks alone."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        alone = file.startswith("tests/e2e/") and not file.endswith(PATIENT)
        return "stacks" if alone else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> StacksAlone:
    return StacksAlone(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let those with a stack come first: they mostly wait, as long as all others take."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)
    for item in items:
        if item.get_closest_marker("anyio"):  # its loop cannot go on after a signal's exception
            item.add_marker(pytest.mark.timeout(TIMEOUT_S, method="thread"))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # so that no test's time limit counts the wait
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test that is marked `alone` wait for those of other processes, and them for it."""
    kind = fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH
    with (ROOT / "tests" / "conftest.py").open() as room, (ROOT / "pyproject.toml").open() as door:
        fcntl.flock(door, fcntl.LOCK_EX)  # who waits in it for the room keeps later ones out
        fcntl.flock(room, kind)
        fcntl.flock(door, fcntl.LOCK_UN)
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _environment() -> Iterator[None]:
    """No setting of the developer's leaks in; processes of tests run the code of this checkout."""
    # A shell starts what runs in the background with SIGINT ignored; processes would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as environment:
        for name in list(os.environ):
            if name == "REDIS_URL" or name.startswith("OPTSERVE_"):
                environment.delenv(name)
        environment.setenv("PYTHONPATH", str(ROOT))
        yield


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The data directory of this checkout; MNIST in it is only there if a test asked for it."""
    return ROOT / ".optserve" / "data"


@pytest.fixture(scope="session")
def mnist(data_dir: Path) -> Path:
    """The data directory with MNIST in it, fetched as a user would."""
    try:
        fetch_mnist(data_dir / "mnist", lambda line: None)
    except FetchFailed as error:
        pytest.skip(str(error))
    return data_dir


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A real server, shared by the tests that only need its functions."""
    with EmbeddedServer(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[redis.Redis]:
    """A client of an empty server that has the functions."""
    with redis.from_url(server.url) as connected:
        connected.flushall()
        prepare(connected)
        yield connected
