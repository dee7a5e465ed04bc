"""What the store has of a job that ended moves to files, and is read from there as before."""

from __future__ import annotations

import os
import shutil
from typing import Any

import httpx
import pytest
import redis

from control.orphans import Orphans
from control.storage import StorageCheck
from store.archive import writer
from store.archive.parquet import File
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.series import PLAIN
from store.redis import keys
from store.redis.functions import send
from store.settings import Settings
from store.storage.names import archive_folder, job_folder
from store.storage.storage import Storage
from tests.support.store.archiving import ROWS, fail, files, keys_of, moved, rows, run
from tests.support.store.protocol import ask, begin, record_of, rows_of, submit
from tests.support.store.rounds import Rounds


def endings(client: redis.Redis, storage: Storage) -> dict[str, str]:
    """A job with rows for every way to end."""
    found = {}
    held = run(client, storage)
    send(client, calls.finish(held, rows=ROWS, digest="d", result={}, artifacts={}))
    found["succeeded"] = held.job_id
    held = run(client, storage)
    fail(client, held)
    found["failed"] = held.job_id
    held = run(client, storage)
    ask(client, held.job_id, "cancel")
    send(client, calls.release(held, why="cancelled"))
    found["cancelled while running"] = held.job_id
    for way, action in (("queued", None), ("paused", "pause")):
        held = run(client, storage)
        send(client, calls.release(held, why="test"))
        if action:
            ask(client, held.job_id, "pause")
        ask(client, held.job_id, "cancel")
        found[f"cancelled while {way}"] = held.job_id
    for i in range(3):
        held = run(client, storage) if i == 0 else begin(client, os.urandom(16).hex())
        send(client, calls.release(held, why="it died", cause="crashed"))
    found["crash_loop"] = held.job_id
    return found


@pytest.mark.anyio
async def test_however_a_job_ends_its_rows_leave_the_store_and_are_read_as_before(
    http: httpx.AsyncClient, client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    ended = endings(client, storage)
    pages = {
        job: (await http.get(f"/v1/jobs/{job}/metrics?after=4000")).json() for job in ended.values()
    }

    moved(client, rounds)

    for way, job_id in ended.items():
        assert record_of(client, job_id).state.final, way
        assert keys_of(client, job_id) <= {"job", "events"}, way
        assert len(files(storage, job_id, "*-rows.parquet")) == 1, way
        assert rows_of(client, job_id) == []
        page = (await http.get(f"/v1/jobs/{job_id}/metrics?after=4000")).json()
        assert page == pages[job_id], way
        assert [row["step"] for row in page["data"]] == list(range(4001, 5001))
    assert client.zcard(keys.UNARCHIVED) == 0


def test_a_job_that_never_had_rows_needs_no_file(
    client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    job_id = submit(client)
    ask(client, job_id, "cancel")

    rounds.run()

    assert client.zcard(keys.UNARCHIVED) == 0
    assert not (storage.root / job_folder("local", job_id)).exists()


def test_a_job_that_goes_on_keeps_its_rows_in_the_store(
    client: redis.Redis, storage: Storage, rounds: Rounds
) -> None:
    held = run(client, storage)

    rounds.run()
    send(client, calls.release(held, why="test"))
    rounds.run()

    assert rows_of(client, held.job_id) == rows()


def test_the_file_says_whose_rows_it_has_and_when_they_were_stored(
    client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    held = run(client, storage)
    marks = client.get(keys.MARKS % ("local", held.job_id))
    fail(client, held)

    rounds.run()

    (path,) = files(storage, held.job_id, "*.parquet")
    file = File(str(path))
    assert (file.words.job, file.words.series, file.rows) == (held.job_id, PLAIN, ROWS)
    assert file.words.marks == marks
    assert record_of(client, held.job_id).archive["rows"].path == str(
        path.relative_to(storage.root)
    )


class Overtaken(redis.Redis):
    """A connection on which another process archives the job just before this one says so."""

    def __init__(self, client: redis.Redis, storage: Storage, held: Claim) -> None:
        super().__init__(connection_pool=client.connection_pool)
        self._client, self._storage, self._job_id = client, storage, held.job_id

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if any(str(arg).endswith("_archived") for arg in args):
            writer.archive(self._client, self._storage, "local", self._job_id)
        untyped: Any = super()
        return untyped.execute_command(*args, **options)


def test_two_who_do_it_at_once_leave_one_file(client: redis.Redis, storage: Storage) -> None:
    held = run(client, storage)
    fail(client, held)
    writer.archive(Overtaken(client, storage, held), storage, "local", held.job_id)

    (path,) = files(storage, held.job_id, "*.parquet")
    assert record_of(client, held.job_id).archive["rows"].path == str(
        path.relative_to(storage.root)
    )


def test_what_somebody_left_who_died_is_swept_once_there_is_a_file(
    client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    held = run(client, storage)
    fail(client, held)
    folder = storage.root / archive_folder("local", held.job_id)
    folder.mkdir(parents=True)
    for name in (".draft-0", "0-rows.parquet"):
        (folder / name).write_bytes(b"half of it")
    before = Orphans(client, storage, StorageCheck(client, storage))
    before.look_through()
    before.look_through()
    assert len(files(storage, held.job_id)) == 2

    for _ in range(3):
        rounds.run()

    (path,) = files(storage, held.job_id)
    assert path.read_bytes()[:4] == b"PAR1"


def test_rows_stay_while_the_storage_is_away_and_move_later(
    client: redis.Redis,
    rounds: Rounds,
    storage: Storage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    held = run(client, storage)
    fail(client, held)
    storage.root.rename(storage.root.with_name("not mounted"))

    rounds.run()

    assert "archiving and retention are paused: the storage" in caplog.text
    assert rows_of(client, held.job_id) == rows()
    storage.root.with_name("not mounted").rename(storage.root)
    rounds.run()
    assert len(files(storage, held.job_id, "*.parquet")) == 1


def test_a_storage_without_the_other_files_of_a_job_is_away(
    client: redis.Redis, rounds: Rounds, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    held = run(client, storage)
    shutil.rmtree(storage.root)
    storage.root.mkdir()
    fail(client, held)

    rounds.run()

    assert "the file 'store', which this service wrote to the storage, is missing" in caplog.text
    assert rows_of(client, held.job_id) == rows()
    assert list(storage.root.iterdir()) == []


def test_a_job_whose_folder_is_gone_holds_up_no_other(
    client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    lost, sound = run(client, storage), run(client, storage)
    path = f"{job_folder('local', lost.job_id)}/1-t/checkpoints/step-1"  # which is not there
    saved = calls.checkpointed(lost, step=ROWS, path=path, sha256="5" * 64, digest="d" * 64)
    send(client, saved)
    for held in (lost, sound):
        fail(client, held)

    rounds.run("archive")

    assert rows_of(client, lost.job_id) == rows()
    assert len(files(storage, sound.job_id, "*.parquet")) == 1


def test_while_somebody_has_a_job_nobody_else_is_given_it(
    client: redis.Redis, storage: Storage
) -> None:
    held = run(client, storage)
    fail(client, held)

    first = send(client, calls.unarchived(limit=5, pause_ms=60_000))
    second = send(client, calls.unarchived(limit=5, pause_ms=60_000))

    assert (first, second) == ([f"local/{held.job_id}"], [])


def test_rows_that_the_store_lacks_are_never_taken_for_all(
    client: redis.Redis, rounds: Rounds, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    held = run(client, storage)
    fail(client, held)
    client.delete(keys.ROWS % ("local", held.job_id, 1))

    rounds.run("archive")

    lacks = "Redis must hold all 9000 rows of job"
    assert f"{lacks} {held.job_id}, but lacks some of the 9000 rows from row 0 on" in caplog.text
    assert files(storage, held.job_id) == []
    assert keys_of(client, held.job_id) >= {"rows"}


def test_a_job_that_is_not_kept_takes_its_file_along(client: redis.Redis, storage: Storage) -> None:
    held = run(client, storage)
    fail(client, held)
    Rounds(client, storage, Settings(keep_bytes=10**9)).run()
    measured = client.hget(keys.BYTES, f"local/{held.job_id}")
    size = sum(each.stat().st_size for each in files(storage, held.job_id))

    Rounds(client, storage, Settings(keep_jobs=0)).run()

    assert measured == str(size).encode()
    assert keys_of(client, held.job_id) == set()
    assert not (storage.root / job_folder("local", held.job_id)).exists()
