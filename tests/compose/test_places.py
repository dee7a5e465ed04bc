"""A service whose mounts are not as it needs them says so, and is never well."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machine.processes import eventually
from tests.support.service.composed import HEALTHY_S, Composed, composed, health, inspected

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

LINES = {
    "api": "the storage /storage (OPTSERVE_STORAGE) must be writable by this user (uid 10001): "
    "Read-only file system; mount it read-write",
    "worker": "the folder of locks and journals /run/optserve (OPTSERVE_RUN) must be writable by "
    "this user (uid 10001): Read-only file system; mount it read-write",
}


@pytest.fixture(scope="module")
def broken(stack: Composed) -> Iterator[Composed]:
    """A stack whose API may not write to the storage, and whose worker may make no lock."""
    del stack  # its images are built
    with composed("optserve-test-places", Path(__file__).parent / "read-only.yml") as started:
        started.run("up", "-d")
        yield started


@pytest.mark.parametrize("service", ["api", "worker"])
def test_a_service_that_cannot_write_ends_with_a_line(broken: Composed, service: str) -> None:
    container = broken.container(service)

    def has_been_started_again() -> bool:
        (state,) = inspected(container)
        return bool(state["RestartCount"] >= 1)

    eventually(has_been_started_again, within_s=HEALTHY_S)

    (state,) = inspected(container)
    logs = broken.logs(service)
    assert LINES[service] in logs
    assert "Traceback" not in logs
    assert state["State"]["ExitCode"] in (78, 0)  # 0 while it is being started again
    assert health(state) != "healthy"
