"""A real API process whose files fail or hang when a test says so; no worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from optserve.contract.states import State
from optserve.local.stack import Stack
from store.jobs import calls
from store.redis import keys
from store.redis.functions import send
from tests.support.http.hung_files import PATIENCE_S, Jobs
from tests.support.machine.faulty_files import FaultyFiles
from tests.support.machine.processes import eventually
from tests.support.service.stacks import stack_with
from tests.support.store.parents import Parent
from tests.support.store.protocol import append, ask, begin, record_of, some_rows, submit


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hung")


@pytest.fixture(scope="package")
def every_file(home: Path) -> FaultyFiles:
    """All files of the storage."""
    return FaultyFiles(home / "storage", control=home / "control")


@pytest.fixture(scope="package")
def running(home: Path, every_file: FaultyFiles) -> Iterator[Stack]:
    limits = {"OPTSERVE_STORAGE_PATIENCE_S": str(PATIENCE_S)}
    with stack_with(home, workers=0, **every_file.environment, **limits) as started:
        yield started


@pytest.fixture
def files(every_file: FaultyFiles) -> Iterator[FaultyFiles]:
    """All files of the storage, well again in the end."""
    yield every_file
    every_file.heal()
    eventually(lambda: every_file.held == 0)


@pytest.fixture
def store(running: Stack) -> Iterator[redis.Redis]:
    """A client of the store, in whose queue nothing is left."""
    with redis.from_url(running.redis_url) as client:
        left: Any = client.zrange(keys.JOBS_IN_STATE % ("local", State.QUEUED), 0, -1)
        for job_id in left:  # they would be claimed first
            ask(client, job_id.decode(), "kill")
        yield client


@pytest.fixture
def jobs(store: redis.Redis, home: Path) -> Jobs:
    """One job of each kind; the ended one has every kind of file, and was moved to files."""
    parent = Parent(store, home / "storage")
    parent.checkpointed(3, 6)
    parent.best_kept(3)
    for step in range(1, 9):  # so that the history is moved too
        send(store, calls.evaluated(parent.held, step=step, data={"step": step, "loss": 0.5}))
    parent.succeeded()
    eventually(lambda: record_of(store, parent.id).archive.keys() == {"rows", "events"})
    running = submit(store)
    append(store, begin(store, "t2"), 0, some_rows(0, 5))
    return Jobs(submit(store), running, parent.id)
