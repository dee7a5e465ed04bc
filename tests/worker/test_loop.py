"""A worker's presence in the store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from optserve.local.embedded import EmbeddedServer
from store.redis import keys
from store.redis.server import prepare
from store.settings import Settings
from tests.support.machine.processes import eventually
from worker import loop
from worker.loop import WorkerLoop


class SlowConnection(redis.Redis):
    """A connection whose commands arrive late."""

    under_way = threading.Event()
    arrive = threading.Event()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        self.under_way.set()
        self.arrive.wait()
        untyped: Any = super()
        return untyped.execute_command(*args, **options)


class Slow(WorkerLoop):
    """A worker whose heartbeats arrive late, once that is asked for."""

    slow = False

    def _hello(self, client: redis.Redis) -> None:
        late = SlowConnection(connection_pool=client.connection_pool)
        super()._hello(late if self.slow else client)


@pytest.fixture
def worker(
    client: redis.Redis,
    server: EmbeddedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Slow]:
    prepare(client)
    monkeypatch.setattr(loop, "POLL_S", 0.01)
    monkeypatch.setattr(loop, "HELLO_S", 0.0)
    monkeypatch.setenv("OPTSERVE_HOME", str(tmp_path))
    monkeypatch.setenv("OPTSERVE_REDIS_URL", server.url)
    settings = Settings()
    settings.storage_dir.mkdir()
    settings.data_dir.mkdir()
    worker = Slow(client, settings, "cpu")
    worker.open()
    yield worker
    SlowConnection.arrive.set()
    worker.close()


def test_a_heartbeat_under_way_does_not_list_a_worker_that_has_left(
    client: redis.Redis, worker: Slow
) -> None:
    worker.slow = True
    assert SlowConnection.under_way.wait(timeout=30)

    def arrive() -> None:
        # As late as it can be: once the worker has deregistered, if it does not wait for this.
        with suppress(AssertionError):
            eventually(lambda: client.zscore(keys.WORKERS, worker.id) is None, within_s=1.5)
        SlowConnection.arrive.set()

    arriving = threading.Thread(target=arrive)
    arriving.start()
    worker.close()
    arriving.join()
    eventually(lambda: all(thread.name != "presence" for thread in threading.enumerate()))

    assert client.zscore(keys.WORKERS, worker.id) is None
