"""What the store has of a job that ended moves to files, and is read from there as before."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from api import keeping
from api.keeping import House
from api.streams.reader import Reader
from api.streams.watcher import Watcher
from jobs import archive, calls, keys
from jobs.artifacts import Storage
from jobs.calls import Held
from jobs.functions import send
from jobs.metrics import PLAIN, Row
from jobs.settings import Settings
from tests.jobs.protocol import append, ask, begin, record_of, rows_of, some_rows, submit
from tests.processes import eventually

ROWS = 9000
"""Three chunks."""
FACTS = {
    "layout": "2",
    "torch": "2.13.0+cu130",
    "numpy": "2.3.4",
    "machine": "x86_64",
    "processor": "Intel(R) Xeon(R) Platinum 8480C CPU @ 2.00GHz",
    "cpu": "AVX512",
    "onednn": "True",
    "deterministic": "True",
    "device": "cuda",
    "gpu": "NVIDIA H200 80GB HBM3e",
    "cuda": "13.0",
    "cudnn": "91300",
    "tf32": "none",
    "engine": "compiled",
    "memory_format": "channels_last",
    "threads": "16",
}
"""As long as those of a real job."""
RECORD_AND_HISTORY = 6 * 1024
"""Bytes that a job which ended may have in the store."""


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "storage")


@pytest.fixture
def house(client: redis.Redis, storage: Storage) -> House:
    return House(client, storage, Settings())


def rows(first: int = 0, count: int = ROWS) -> list[Row]:
    return some_rows(first, count)


def run(client: redis.Redis, storage: Storage, *, count: int = ROWS) -> Held:
    """A running job with rows, times, an evaluation and a checkpoint."""
    submit(client, training={"steps": count, "device": "cpu"})
    held = begin(client, os.urandom(16).hex())
    append(client, held, 0, rows(count=count))
    storage.job_folder("local", held.job_id).mkdir(parents=True)  # its worker's journal was there
    storage.belongs_to(send(client, calls.store_id("this one")))
    marks = b"".join(struct.pack("<II", 100 * i, 7 * i) for i in range(1, 50))
    client.set(keys.MARKS % ("local", held.job_id), marks)
    send(client, calls.evaluated(held, step=1, data={"step": 1, "loss": 0.5}))
    return held


def fail(client: redis.Redis, held: Held) -> None:
    send(client, calls.fail(held, reason="error", detail="enough"))


def files(storage: Storage, job_id: str, kind: str = "*") -> list[Path]:
    return list(storage.archive_folder("local", job_id).glob(kind))


def moved(client: redis.Redis, house: House) -> None:
    """Let the rows of all jobs that have ended be moved; the service may be at it too."""
    house.keep()
    eventually(lambda: client.zcard(keys.UNARCHIVED) == 0)


def keys_of(client: redis.Redis, job_id: str) -> set[str]:
    return {name.decode().split(":")[1] for name in client.scan_iter(f"*{job_id}*")}


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
    send(client, calls.release(held, why="cancelled", crashed=False))
    found["cancelled while running"] = held.job_id
    for way, action in (("queued", None), ("paused", "pause")):
        held = run(client, storage)
        send(client, calls.release(held, why="test", crashed=False))
        if action:
            ask(client, held.job_id, "pause")
        ask(client, held.job_id, "cancel")
        found[f"cancelled while {way}"] = held.job_id
    for i in range(3):
        held = run(client, storage) if i == 0 else begin(client, os.urandom(16).hex())
        send(client, calls.release(held, why="it died", crashed=True))
    found["crash_loop"] = held.job_id
    return found


@pytest.mark.anyio
async def test_however_a_job_ends_its_rows_leave_the_store_and_are_read_as_before(
    http: httpx.AsyncClient, client: redis.Redis, house: House, storage: Storage
) -> None:
    ended = endings(client, storage)
    pages = {
        job: (await http.get(f"/v1/jobs/{job}/metrics?after=4000")).json() for job in ended.values()
    }

    moved(client, house)

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
    client: redis.Redis, house: House, storage: Storage
) -> None:
    job_id = submit(client)
    ask(client, job_id, "cancel")

    house.keep()

    assert client.zcard(keys.UNARCHIVED) == 0
    assert not storage.job_folder("local", job_id).exists()


def test_a_job_that_goes_on_keeps_its_rows_in_the_store(
    client: redis.Redis, storage: Storage, house: House
) -> None:
    held = run(client, storage)

    house.keep()
    send(client, calls.release(held, why="test", crashed=False))
    house.keep()

    assert rows_of(client, held.job_id) == rows()


def test_the_file_says_whose_rows_it_has_and_when_they_were_stored(
    client: redis.Redis, house: House, storage: Storage
) -> None:
    from jobs.parquet import File  # noqa: PLC0415

    held = run(client, storage)
    marks = client.get(keys.MARKS % ("local", held.job_id))
    fail(client, held)

    house.keep()

    (path,) = files(storage, held.job_id, "*.parquet")
    file = File(path)
    assert (file.words.job, file.words.series, file.rows) == (held.job_id, PLAIN, ROWS)
    assert file.words.marks == marks
    assert record_of(client, held.job_id).archive["rows"].path == storage.relative(path)


def test_two_who_do_it_at_once_leave_one_file(
    client: redis.Redis, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = run(client, storage)
    fail(client, held)
    settle = Storage.settle

    def and_another_one_is_first(self: Storage, folder: Path) -> None:
        monkeypatch.setattr(Storage, "settle", settle)
        archive.archive(client, storage, "local", held.job_id)
        settle(self, folder)

    monkeypatch.setattr(Storage, "settle", and_another_one_is_first)
    archive.archive(client, storage, "local", held.job_id)

    (path,) = files(storage, held.job_id, "*.parquet")
    assert record_of(client, held.job_id).archive["rows"].path == storage.relative(path)


def test_what_somebody_left_who_died_is_swept_once_there_is_a_file(
    client: redis.Redis, house: House, storage: Storage
) -> None:
    held = run(client, storage)
    fail(client, held)
    folder = storage.archive_folder("local", held.job_id)
    folder.mkdir(parents=True)
    for name in (".draft-0", "0-rows.parquet"):
        (folder / name).write_bytes(b"half of it")
    before = House(client, storage, Settings())
    before.look_through()
    before.look_through()
    assert len(files(storage, held.job_id)) == 2

    for _ in range(3):
        house.keep()

    (path,) = files(storage, held.job_id)
    assert path.read_bytes()[:4] == b"PAR1"


def test_rows_stay_while_the_storage_is_away_and_move_later(
    client: redis.Redis,
    house: House,
    storage: Storage,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "ARCHIVE_AGAIN_S", 0)
    held = run(client, storage)
    fail(client, held)
    storage.root.rename(storage.root.with_name("not mounted"))

    house.archive()

    assert "stay in the store for now" in caplog.text
    assert rows_of(client, held.job_id) == rows()
    storage.root.with_name("not mounted").rename(storage.root)
    house.archive()
    assert len(files(storage, held.job_id, "*.parquet")) == 1


def test_a_storage_without_the_other_files_of_a_job_is_away(
    client: redis.Redis, house: House, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    held = run(client, storage)
    shutil.rmtree(storage.root)
    storage.root.mkdir()
    fail(client, held)

    house.archive()

    assert "the storage has not got the other files of this job" in caplog.text
    assert rows_of(client, held.job_id) == rows()
    assert list(storage.root.iterdir()) == []


def test_a_job_whose_folder_is_gone_holds_up_no_other(
    client: redis.Redis, house: House, storage: Storage
) -> None:
    lost, sound = run(client, storage), run(client, storage)
    for held in (lost, sound):
        fail(client, held)
    shutil.rmtree(storage.job_folder("local", lost.job_id))

    house.archive()

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
    client: redis.Redis, house: House, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    held = run(client, storage)
    fail(client, held)
    client.delete(keys.ROWS % ("local", held.job_id, 1))

    house.archive()

    assert "the store lacks rows from 0 on, of 9000" in caplog.text
    assert files(storage, held.job_id) == []
    assert keys_of(client, held.job_id) >= {"rows"}


@pytest.mark.anyio
@pytest.mark.parametrize("harm", ["missing", "damaged", "cut short"])
@pytest.mark.parametrize(
    "path",
    [
        "metrics?format=json",
        "metrics?format=csv",
        "metrics?format=parquet",
        "metrics/stream",
        "metrics/chart",
    ],
)
async def test_a_file_that_is_not_what_was_written_is_an_error_and_no_silence(
    *,
    http: httpx.AsyncClient,
    client: redis.Redis,
    house: House,
    storage: Storage,
    harm: str,
    path: str,
) -> None:
    held = run(client, storage)
    fail(client, held)
    moved(client, house)
    (file,) = files(storage, held.job_id, "*.parquet")
    said = harmed(file, harm)

    answer = await http.get(f"/v1/jobs/{held.job_id}/{path}")

    assert answer.status_code == 500
    assert answer.json()["code"] == "archive_unreadable"
    assert f"the file {storage.relative(file)} of the storage {said}" in answer.json()["detail"]


def harmed(file: Path, harm: str) -> str:
    """Harm a file, and return what is said of it then."""
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    if harm == "missing":
        file.unlink()
        return "is missing"
    file.write_bytes(content if harm == "damaged" else content[:-100])
    return "is damaged: its SHA-256 is not "


@pytest.mark.anyio
async def test_who_has_all_steps_is_told_the_end_without_the_file(
    http: httpx.AsyncClient, client: redis.Redis, house: House, storage: Storage
) -> None:
    held = run(client, storage)
    fail(client, held)
    moved(client, house)
    (file,) = files(storage, held.job_id, "*.parquet")
    file.unlink()

    answer = await http.get(f"/v1/jobs/{held.job_id}/metrics/stream?after={ROWS - 1}")

    assert answer.status_code == 200
    assert "event: end" in answer.text


def test_a_job_that_is_not_kept_takes_its_file_along(client: redis.Redis, storage: Storage) -> None:
    held = run(client, storage)
    fail(client, held)
    House(client, storage, Settings(keep_bytes=10**9)).keep()
    weighed = client.hget(keys.BYTES, f"local/{held.job_id}")
    size = sum(each.stat().st_size for each in files(storage, held.job_id))

    House(client, storage, Settings(keep_jobs=0)).keep()

    assert weighed == str(size).encode()
    assert keys_of(client, held.job_id) == set()
    assert not storage.job_folder("local", held.job_id).exists()


# ------------------------------------------------------------------ histories and memory


def bytes_of(client: redis.Redis, job_id: str) -> int:
    """Bytes that the store needs for all keys of a job."""
    found: Any = [client.memory_usage(name, samples=0) for name in client.scan_iter(f"*{job_id}*")]
    return sum(found)


def lived(client: redis.Redis, storage: Storage, *, looks: int) -> str:
    """A job that was evaluated and saved so often, requeued once, and succeeded."""
    count = 10 * looks
    job_id = submit(
        client,
        name="mnist, adam, cosine",
        labels={"team": "ocr"},
        model={"kind": "mnist_cnn"},
        dataset={"kind": "mnist", "batch_size": 100},
        optimizer={
            "kind": "adam",
            "dialect": "paddle",
            "lr": 0.001,
            "groups": [{"match": "*.bias", "weight_decay": 0.0}],
        },
        schedule={"kind": "cosine", "warmup": {"length": 5, "after": "delay"}},
        training={"steps": count, "device": "cpu", "precision": "fp32"},
    )
    held = begin(client, os.urandom(16).hex())
    for i in range(1, looks + 1):
        if i == looks // 2 + 1:
            send(client, calls.release(held, why="SIGTERM", crashed=False))
            held = begin(client, os.urandom(16).hex())
        append(client, held, 10 * (i - 1), rows(10 * (i - 1), 10))
        data = {"step": 10 * i, "test_loss": 1 / (3 + i), "test_accuracy": 1 - 1 / (3 + i)}
        send(client, calls.evaluated(held, step=10 * i, data=data))
        path = storage.attempt_folder("local", job_id, 1, held.token) / "checkpoints" / str(10 * i)
        path.mkdir(parents=True)
        call = calls.checkpointed(
            held, step=10 * i, path=storage.relative(path), sha256="5" * 64, digest="d" * 64
        )
        send(client, call)
    artifacts = {
        "model.safetensors": {
            "path": storage.relative(path.parents[1] / "model.safetensors"),
            "sha256": "a" * 64,
            "size": 123456,
        }
    }
    client.hset(keys.JOB % ("local", job_id), "facts", json.dumps(FACTS))
    result = {"test_loss": 0.0712345678901, "test_accuracy": 0.9807}
    send(
        client,
        calls.finish(held, rows=count, digest="d" * 64, result=result, artifacts=artifacts),
    )
    return job_id


@pytest.mark.parametrize("looks", [5, 500])
def test_a_job_that_ended_takes_six_kilobytes_of_the_store(
    client: redis.Redis, house: House, storage: Storage, looks: int
) -> None:
    job_id = lived(client, storage, looks=looks)

    house.keep()

    assert bytes_of(client, job_id) <= RECORD_AND_HISTORY
    assert keys_of(client, job_id) == {"job"}


@pytest.mark.anyio
async def test_a_long_history_is_read_from_its_file_as_before(
    http: httpx.AsyncClient, client: redis.Redis, house: House, storage: Storage
) -> None:
    job_id = lived(client, storage, looks=60)
    path = f"/v1/jobs/{job_id}/events"
    before = (await http.get(f"{path}?limit=1000")).json()
    _, streamed = (await http.get(f"{path}/stream")).text.split("\n\n", 1)  # retry: differs

    moved(client, house)

    assert keys_of(client, job_id) == {"job"}
    assert (await http.get(f"{path}?limit=1000")).json() == before
    page = (await http.get(f"{path}?after=7&limit=5")).json()
    assert page["data"] == before["data"][7:12]
    assert page["has_more"]
    assert (await http.get(f"{path}?after=100000")).json()["data"] == []
    assert (await http.get(f"{path}/stream")).text.endswith(streamed)
    (events,) = files(storage, job_id, "*.jsonl")
    assert len([json.loads(line) for line in events.read_text().splitlines()]) == len(
        before["data"]
    )


@pytest.mark.anyio
@pytest.mark.parametrize("harm", ["missing", "damaged", "cut short"])
@pytest.mark.parametrize("path", ["events", "events/stream"])
async def test_a_history_that_is_not_what_was_written_is_an_error_and_no_silence(
    *,
    http: httpx.AsyncClient,
    client: redis.Redis,
    house: House,
    storage: Storage,
    harm: str,
    path: str,
) -> None:
    job_id = lived(client, storage, looks=60)
    moved(client, house)
    (file,) = files(storage, job_id, "*.jsonl")
    said = harmed(file, harm)

    answer = await http.get(f"/v1/jobs/{job_id}/{path}")

    assert answer.status_code == 500
    assert answer.json()["code"] == "archive_unreadable"
    assert f"the file {storage.relative(file)} of the storage {said}" in answer.json()["detail"]


@pytest.mark.anyio
async def test_a_record_read_before_its_rows_moved_finds_them_in_the_file(
    http: httpx.AsyncClient, client: redis.Redis, storage: Storage, house: House
) -> None:
    store: Any = http._transport.app.state.store  # type: ignore[attr-defined]
    held = run(client, storage)
    marks = client.get(keys.MARKS % ("local", held.job_id))
    fail(client, held)
    record = await store.record("local", held.job_id)
    assert "archive" not in record.fields

    moved(client, house)

    assert await store.rows(record, first=4090, count=20) == rows(4090, 20)
    assert await store.rows(record, first=ROWS - 1, count=20) == rows(ROWS - 1, 1)
    assert await store.data(record, first=ROWS, count=20) == b""
    assert await store.marks(record) == marks


@pytest.mark.anyio
async def test_a_slow_file_holds_up_nobody_who_follows_another_job(
    http: httpx.AsyncClient, client: redis.Redis, house: House, storage: Storage
) -> None:
    store: Any = http._transport.app.state.store  # type: ignore[attr-defined]
    reader, watcher = Reader(store), Watcher()
    ended = run(client, storage, count=9)
    other = run(client, storage, count=9)
    with (
        reader.watching(await store.record("local", ended.job_id), watcher) as slow,
        reader.watching(await store.record("local", other.job_id), watcher) as quick,
    ):
        append(client, ended, 9, rows(9, 1))
        fail(client, ended)
        moved(client, house)
        (file,) = files(storage, ended.job_id, "*.parquet")
        file.unlink()
        os.mkfifo(file)  # who opens it waits for somebody who writes
        reading = asyncio.create_task(reader.read_forever())
        try:
            async with asyncio.timeout(5):
                for step in range(9, 12):
                    append(client, other, step, rows(step, 1))
                    while quick.place.last < step:
                        await watcher.wait()
            assert slow.place.last == 8

            os.close(os.open(file, os.O_WRONLY))

            async with asyncio.timeout(5):
                while not slow.gone:
                    await watcher.wait()
        finally:
            with contextlib.suppress(OSError):
                os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))
            reading.cancel()
