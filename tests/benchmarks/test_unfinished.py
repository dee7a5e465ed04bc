"""Files that no record names, as the soak looks for them while a service removes them."""

import shutil
import threading
import time
from pathlib import Path

import redis

from benchmarks.chaos.unfinished import AGED_S, Unfinished
from store.jobs import calls
from store.redis.functions import send
from store.storage.names import STARTING_STATE, archive_folder, attempt_folder, job_folder, unique
from store.storage.storage import Storage
from tests.support.store.archiving import fail, run
from tests.support.store.protocol import append, begin, some_rows, submit
from tests.support.store.rounds import Rounds


def written(job: Path) -> Path:
    path = job / "archive" / "1-rows.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_files_are_found_and_aged_with_the_folder_of_their_job(
    client: redis.Redis, tmp_path: Path
) -> None:
    path = written(tmp_path / "jobs" / "local" / "job_1")
    other = tmp_path / "jobs" / "local" / "job_2"
    other.mkdir()
    unfinished = Unfinished(tmp_path, client)

    assert unfinished.left() == [path]
    unfinished.age()

    ages = {each: time.time() - each.stat().st_mtime for each in (path, path.parents[1], other)}
    assert ages[path] > AGED_S - 60
    assert ages[path.parents[1]] > AGED_S - 60
    assert ages[other] < 60


def test_what_a_record_names_and_what_an_attempt_writes_is_not_unfinished(
    client: redis.Redis, tmp_path: Path
) -> None:
    submit(client)
    held, storage = begin(client, "t1"), Storage(tmp_path)
    own = attempt_folder("local", held.job_id, 1, "t1")
    before = attempt_folder("local", held.job_id, 0, "t0")
    state, lost = f"{before}/checkpoints/step-1", f"{before}/checkpoints/step-2"
    for name in (own, state, lost):
        storage.put(f"{name}/state.json", b"{}")
    append(client, held, 0, some_rows(0, 1))
    send(client, calls.checkpointed(held, step=1, path=state, sha256="5" * 64, digest="d" * 64))

    assert Unfinished(tmp_path, client).left() == [tmp_path / lost / "state.json"]


def test_a_file_is_seen_until_its_record_names_it(client: redis.Redis, tmp_path: Path) -> None:
    storage, seen = Storage(tmp_path), []
    moving = storage.put(unique(archive_folder("local", "job_1"), "rows.parquet"), b"rows")
    copied = f"{job_folder('local', 'job_2')}/{STARTING_STATE}"
    storage.put(f"{copied}/state.json", b"{}")
    unfinished = Unfinished(tmp_path, client)

    for kind in ("archiving", "cloning"):
        assert unfinished.wait_for(kind, 5, then=lambda path: not seen.append(path))  # type: ignore[func-returns-value]

    assert seen == [tmp_path / moving.path, tmp_path / copied]


def test_a_job_is_archived_once_its_record_names_its_rows(
    client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    held, other = run(client, storage), run(client, storage)
    fail(client, held)
    storage.put(unique(archive_folder("local", other.job_id), "rows.parquet"), b"half")
    rounds.run()

    unfinished = Unfinished(storage.root, client)
    assert unfinished.unarchived([held.job_id, other.job_id, "none"]) == [other.job_id, "none"]


def test_what_is_removed_meanwhile_is_passed_over(client: redis.Redis, tmp_path: Path) -> None:
    jobs, done = tmp_path / "jobs" / "local", threading.Event()

    def come_and_go() -> None:
        number = 0
        while not done.is_set():
            number += 1
            written(jobs / f"job_{number % 8}")
            shutil.rmtree(jobs / f"job_{(number + 4) % 8}", ignore_errors=True)

    jobs.mkdir(parents=True)
    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        unfinished, deadline = Unfinished(tmp_path, client), time.monotonic() + 2
        while time.monotonic() < deadline:
            unfinished.left()
            unfinished.age()
    finally:
        done.set()
        thread.join()

    assert all(path.name == "1-rows.parquet" for path in unfinished.left())
