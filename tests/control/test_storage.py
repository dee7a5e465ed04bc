"""A storage that breaks in the middle of a round: no job is set aside for it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import redis

from store.jobs import calls
from store.redis import keys
from store.redis.constants import HISTORY_ENTRIES
from store.redis.functions import send
from store.settings import Settings
from store.storage.names import history_folder, job_folder
from store.storage.storage import Storage
from tests.support.store.archiving import fail, files, run
from tests.support.store.rounds import Rounds

JOBS = 3


class Breaking(Storage):
    """
    A storage that breaks when it is told to.

    Attributes:
        error: what every call then says; 0 while it is well.
        used: the names that were asked for since.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.error = 0
        self.used: list[str] = []

    def probe(self) -> None:
        self._raise("")
        super().probe()

    def _path(self, name: str) -> Path:
        if self.error:
            self.used.append(name)
        self._raise(name)
        return super()._path(name)

    def _raise(self, name: str) -> None:
        if self.error:
            raise OSError(self.error, os.strerror(self.error), name)


@pytest.fixture
def breaking(storage: Storage) -> Breaking:
    return Breaking(storage.root)


def ended(client: redis.Redis, storage: Storage) -> list[str]:
    found = []
    for _ in range(JOBS):
        held = run(client, storage, count=5)
        fail(client, held)
        found.append(held.job_id)
    return found


def with_long_histories(client: redis.Redis, storage: Storage) -> None:
    for _ in range(JOBS):
        held = run(client, storage, count=5)
        for step in range(2, HISTORY_ENTRIES + 2):
            send(client, calls.evaluated(held, step=step, data={"step": step}))
        (storage.root / history_folder("local", held.job_id)).mkdir(parents=True)


@pytest.mark.parametrize("error", [errno.EIO, errno.ESTALE, errno.EROFS, errno.EMFILE])
def test_the_round_ends_at_the_first_job(
    client: redis.Redis, breaking: Breaking, caplog: pytest.LogCaptureFixture, error: int
) -> None:
    jobs = ended(client, breaking)
    now = [0.0]
    rounds = Rounds(client, breaking, clock=lambda: now[0])
    rounds.run("orphans")  # the storage is taken to be well from here on

    breaking.error = error
    with pytest.raises(OSError, match=os.strerror(error)):
        rounds.run("archive")
    tried = len(breaking.used)
    rounds.run("archive")  # finds out before it begins

    assert tried == 1
    assert send(client, calls.set_aside_members()) == []
    assert (
        f"archiving and retention are paused: the storage {breaking.root} cannot be used: "
        in caplog.text
    )
    breaking.error = 0
    due_now(client, keys.UNARCHIVED)
    rounds.run("archive")
    assert all(len(files(breaking, job_id, "*.parquet")) == 1 for job_id in jobs)


@pytest.mark.parametrize("kind", ["orphans", "histories", "retention", "size"])
def test_every_round_asks_the_storage(client: redis.Redis, breaking: Breaking, kind: str) -> None:
    settings = Settings(keep_bytes=10**9) if kind == "size" else Settings(keep_jobs=0)
    jobs = ended(client, breaking)
    if kind == "histories":
        with_long_histories(client, breaking)
    rounds = Rounds(client, breaking, settings)
    rounds.run("archive")
    rounds.run("orphans")

    breaking.error = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        rounds.run("retention" if kind == "size" else kind)

    assert send(client, calls.set_aside_members()) == []
    if kind == "retention":
        assert all((breaking.root / job_folder("local", job_id)).exists() for job_id in jobs)


def due_now(client: redis.Redis, key: str) -> None:
    """Let what a process was given be given to the next."""
    members: Any = client.zrange(key, 0, -1)
    client.zadd(key, dict.fromkeys(members, 0))
