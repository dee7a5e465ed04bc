"""What is kept of jobs that have ended, what is not, and files that belong to nobody."""

import os
import time
from pathlib import Path

import pytest
import redis

from control.orphans import ORPHAN_S, SCAN_EVERY_S
from control.retention import Retention
from control.storage import StorageCheck
from optserve.contract.states import State
from store.jobs import calls
from store.jobs.calls import Claim
from store.redis import keys
from store.redis.functions import send
from store.settings import Settings
from store.storage.names import attempt_folder, job_folder, jobs_in
from store.storage.storage import Storage
from tests.support.store.protocol import append, ask, begin, claim, some_rows, state_of, submit
from tests.support.store.rounds import Rounds

DAY_MS = 24 * 3600 * 1000


def keeping(client: redis.Redis, storage: Storage, **settings: float) -> Rounds:
    return Rounds(client, storage, Settings.model_validate(settings))


def file_of(storage: Storage, held: Claim, attempt: int, name: str, *, size: int = 10) -> str:
    """Write a file of an attempt; return its path as a record keeps it."""
    path = (storage.root / attempt_folder("local", held.job_id, attempt, held.token)) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return str(path.relative_to(storage.root))


def finished(client: redis.Redis, storage: Storage, *, size: int = 10, key: str = "") -> str:
    """A job that succeeded, with a row, an evaluation and a file; return its id."""
    job_id = submit(client, key=key, training={"steps": 1, "device": "cpu"})
    held = begin(client, token=os.urandom(16).hex())
    append(client, held, 0, some_rows(0, 1))
    send(client, calls.evaluated(held, step=1, data={"step": 1, "loss": 0.5}))
    path = file_of(storage, held, 1, "model.safetensors", size=size)
    artifacts = {"model.safetensors": {"path": path, "sha256": "s", "size": size}}
    send(client, calls.finish(held, rows=1, digest="d", result={}, artifacts=artifacts))
    return job_id


def keys_of(client: redis.Redis, job_id: str) -> list[str]:
    return [name.decode() for name in client.scan_iter(f"*{job_id}*")]


def test_everything_is_kept_by_default(client: redis.Redis, storage: Storage) -> None:
    job_id = finished(client, storage)
    client.zadd(keys.ENDED, {f"local/{job_id}": 1})

    keeping(client, storage).run()

    assert state_of(client, job_id) is State.SUCCEEDED


def test_the_oldest_go_and_nothing_of_them_stays(
    client: redis.Redis, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = [finished(client, storage, key=f"key {i}") for i in range(2)]

    with caplog.at_level("INFO"):
        keeping(client, storage, keep_jobs=1).run()

    assert f"local/{old} was removed: it exceeded keep_days, keep_jobs or keep_bytes" in caplog.text
    assert keys_of(client, old) == []
    assert client.keys("*idempotency*") != []  # that of the other
    assert client.zrange(keys.JOBS % "local", 0, -1) == [new.encode()]
    assert client.zrange(keys.JOBS_IN_STATE % ("local", "succeeded"), 0, -1) == [new.encode()]
    assert [job_id for _, job_id in jobs_in(storage)] == [new]
    assert client.zcard(keys.REMOVED) == 0
    assert submit(client, key="key 0", body="another") != old


def test_what_ended_too_many_days_ago_goes(client: redis.Redis, storage: Storage) -> None:
    old, new = [finished(client, storage) for _ in range(2)]
    yesterday = 1000 * time.time() - DAY_MS
    client.zadd(keys.ENDED, {f"local/{old}": yesterday})

    keeping(client, storage, keep_days=1.5).run()
    before = [job_id for _, job_id in jobs_in(storage)]
    keeping(client, storage, keep_days=0.5).run()

    assert sorted(before) == sorted([old, new])
    assert [job_id for _, job_id in jobs_in(storage)] == [new]


def test_the_oldest_go_until_what_is_left_is_small_enough(
    client: redis.Redis, storage: Storage
) -> None:
    jobs = [finished(client, storage, size=100_000) for _ in range(4)]

    keeping(client, storage, keep_bytes=250_000).run()

    assert {job_id for _, job_id in jobs_in(storage)} == set(jobs[2:])
    weights = sum(storage.measure(job_folder("local", job_id)) for job_id in jobs[2:])
    assert client.hget(keys.BYTES, "all") == str(weights).encode()
    assert weights > 200_000  # and a file with the rows of each


def test_what_has_not_ended_is_never_removed(client: redis.Redis, storage: Storage) -> None:
    running = submit(client)
    claim(client)
    queued, paused = submit(client), submit(client)
    ask(client, paused, "pause")

    keeping(client, storage, keep_days=0, keep_jobs=0, keep_bytes=0).run()

    states = [state_of(client, job_id) for job_id in (running, queued, paused)]
    assert states == [State.RUNNING, State.QUEUED, State.PAUSED]


def test_a_crash_before_the_files_are_gone_is_made_up_for(
    client: redis.Redis, storage: Storage
) -> None:
    job_id = finished(client, storage)
    Retention(
        client, storage, StorageCheck(client, storage), Settings(keep_jobs=0)
    ).expire()  # and dies
    between = (keys_of(client, job_id), (storage.root / job_folder("local", job_id)).exists())

    keeping(client, storage).run()  # another process, or the same one later

    assert between == ([], True)
    assert not (storage.root / job_folder("local", job_id)).exists()


# ------------------------------------------------------------------ files of nobody


def test_what_an_attempt_left_behind_goes_unless_it_is_pointed_to(
    client: redis.Redis, storage: Storage
) -> None:
    job_id = submit(client)
    held = begin(client, token="a" * 32)
    append(client, held, 0, some_rows(0, 4))
    kept = file_of(storage, held, 1, "checkpoints/4/state.json")
    left = file_of(storage, held, 1, "checkpoints/9/state.json")
    pointer = str(Path(kept).parent)
    send(client, calls.checkpointed(held, step=4, path=pointer, sha256="s", digest="d"))
    send(client, calls.release(held, why="test"))
    lost = file_of(storage, Claim("local", job_id, "b" * 32), 2, "checkpoints/9/state.json")
    holder = begin(client, token="c" * 32)
    new = file_of(storage, holder, 2, "checkpoints/.draft/state.json")

    look_through(Rounds(client, storage))

    there = [(storage.root / path).exists() for path in (kept, left, lost, new)]
    assert there == [True, False, False, True]


def test_the_files_of_a_clone_that_was_not_made_go_after_an_hour(
    client: redis.Redis, storage: Storage
) -> None:
    fresh, old = [(storage.root / job_folder("local", f"job_{name}")) / "parent" for name in "ab"]
    for folder in (fresh, old):
        folder.mkdir(parents=True)
    long_ago = time.time() - ORPHAN_S - 60
    for path in (old, old.parent):
        os.utime(path, (long_ago, long_ago))

    look_through(Rounds(client, storage))

    assert (fresh.exists(), old.exists()) == (True, False)


def test_a_store_that_was_emptied_removes_nothing(
    client: redis.Redis, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = finished(client, storage)
    look_through(Rounds(client, storage))
    folder = storage.root / job_folder("local", job_id)
    long_ago = time.time() - 2 * ORPHAN_S
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (long_ago, long_ago))
    client.flushdb()

    look_through(Rounds(client, storage))

    assert folder.exists()
    assert "belongs to another store" in caplog.text


def test_folders_are_looked_through_again_after_a_while(
    client: redis.Redis, storage: Storage
) -> None:
    now = [0.0]
    rounds = Rounds(client, storage, clock=lambda: now[0])
    job_id = finished(client, storage)
    look_through(rounds)
    lost = file_of(storage, Claim("local", job_id, "b" * 32), 2, "model.safetensors")

    look_through(rounds)
    before = (storage.root / lost).exists()
    now[0] += SCAN_EVERY_S
    look_through(rounds)

    assert (before, (storage.root / lost).exists()) == (True, False)


def look_through(rounds: Rounds) -> None:
    """Let all folders be listed, looked through and tidied."""
    for _ in range(3):
        rounds.run()
