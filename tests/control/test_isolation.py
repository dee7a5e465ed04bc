"""One damaged job among a hundred: the other ninety-nine are listed, read, moved and removed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest
import redis

from control.isolation import PER_ROUND
from store.jobs import calls
from store.jobs.calls import SetAside
from store.redis import keys
from store.redis.constants import FORMAT
from store.redis.functions import send
from store.settings import Settings
from store.storage.names import job_folder
from store.storage.storage import Storage
from tests.support.store.archiving import fail, files, run
from tests.support.store.protocol import reap
from tests.support.store.rounds import Rounds

pytestmark = pytest.mark.long

MANY = 100
COUNT = 5
"""Rows of a job."""
ROUNDS = MANY // PER_ROUND + 2
"""Of the housekeeping, until it has seen to each of them."""


@pytest.fixture
def ended(client: redis.Redis, storage: Storage) -> list[str]:
    """Jobs that have ended, whose rows are in the store, the oldest first."""
    found = []
    for _ in range(MANY):
        held = run(client, storage, count=COUNT)
        fail(client, held)
        found.append(held.job_id)
    return found


def name_of(job_id: str) -> str:
    return keys.JOB % ("local", job_id)


def aside(client: redis.Redis) -> list[SetAside]:
    return send(client, calls.set_aside_members())


async def listed(http: httpx.AsyncClient) -> tuple[set[str], list[dict[str, str]]]:
    page = (await http.get("/v1/jobs?limit=1000")).json()
    return {row["id"] for row in page["data"]}, page["unreadable"]


def no_number(client: redis.Redis, name: str) -> None:
    client.hset(name, "checkpoint_step", "many")


def no_field(client: redis.Redis, name: str) -> None:
    client.hdel(name, "columns", "total", "spec")


def no_json(client: redis.Redis, name: str) -> None:
    client.hset(name, mapping={"artifacts": "{", "spec": "{"})


def no_state(client: redis.Redis, name: str) -> None:
    client.hset(name, "state", "lost")


def no_rows(client: redis.Redis, name: str) -> None:
    client.hset(name, "rows", "many")


def no_record(client: redis.Redis, name: str) -> None:
    client.delete(name)
    client.set(name, "text")


@pytest.mark.anyio
@pytest.mark.parametrize("harm", [no_number, no_field, no_json, no_state, no_record])
async def test_a_damaged_record_is_named_and_the_others_are_listed(
    http: httpx.AsyncClient,
    client: redis.Redis,
    ended: list[str],
    harm: Callable[[redis.Redis, str], None],
) -> None:
    odd, *others = ended
    harm(client, name_of(odd))

    rows, unreadable = await listed(http)
    one = await http.get(f"/v1/jobs/{odd}")

    assert rows == set(others)
    assert [job["id"] for job in unreadable] == [odd]
    assert (one.status_code, one.json()["code"]) == (500, "record_unreadable")
    for said in (unreadable[0]["detail"], one.json()["detail"]):
        assert said.startswith("the job's record in Redis is damaged: ")
        assert said.endswith("; see optserve doctor")
    for job_id in others:
        assert (await http.get(f"/v1/jobs/{job_id}")).json()["step"] == COUNT


@pytest.mark.anyio
async def test_a_newer_releases_job_is_named_and_the_others_are_listed(
    http: httpx.AsyncClient, client: redis.Redis, ended: list[str]
) -> None:
    odd, *others = ended
    client.hset(name_of(odd), "format", FORMAT + 1)

    rows, unreadable = await listed(http)
    refused = [await http.get(f"/v1/jobs/{odd}"), await http.post(f"/v1/jobs/{odd}/cancel")]

    assert rows == set(others)
    assert [job["id"] for job in unreadable] == [odd]
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "record_too_new")
        assert answer.json()["detail"] == unreadable[0]["detail"]
        assert answer.headers["Retry-After"]


@pytest.mark.anyio
@pytest.mark.parametrize("harm", [no_rows, no_record])
async def test_a_damaged_record_keeps_no_other_job_from_being_moved(
    *,
    http: httpx.AsyncClient,
    client: redis.Redis,
    rounds: Rounds,
    storage: Storage,
    ended: list[str],
    harm: Callable[[redis.Redis, str], None],
) -> None:
    odd, *others = ended
    harm(client, name_of(odd))

    for _ in range(ROUNDS):
        rounds.run()

    assert all(len(files(storage, job_id, "*-rows.parquet")) == 1 for job_id in others)
    for job_id in others:
        page = (await http.get(f"/v1/jobs/{job_id}/metrics")).json()
        assert [row["step"] for row in page["data"]] == list(range(COUNT))
    assert [each.member for each in aside(client) if each.kind == "archive"] == [f"local/{odd}"]


@pytest.mark.anyio
async def test_a_damaged_archive_is_told_of_and_the_others_are_read(
    http: httpx.AsyncClient, client: redis.Redis, rounds: Rounds, storage: Storage, ended: list[str]
) -> None:
    for _ in range(ROUNDS):
        rounds.run()
    odd, *others = ended
    (file,) = files(storage, odd, "*-rows.parquet")
    file.write_bytes(b"x" * file.stat().st_size)

    refused = await http.get(f"/v1/jobs/{odd}/metrics")
    pages = [(await http.get(f"/v1/jobs/{job_id}/metrics")).json() for job_id in others]
    rows, unreadable = await listed(http)

    assert refused.json()["code"] == "archive_unreadable"
    assert all(len(page["data"]) == COUNT for page in pages)
    assert (rows, unreadable) == (set(ended), [])


class Failing(Storage):
    """A storage that cannot delete the folders of some jobs."""

    def __init__(self, root: Path, job_ids: Sequence[str]) -> None:
        super().__init__(root)
        self._folders = {job_folder("local", job_id) for job_id in job_ids}

    def delete(self, name: str) -> None:
        if name in self._folders:
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        super().delete(name)


def test_a_folder_that_cannot_be_deleted_keeps_no_other_job_from_being_swept(
    client: redis.Redis, storage: Storage, ended: list[str]
) -> None:
    odd, *others = ended
    rounds = Rounds(client, Failing(storage.root, [odd]), Settings(keep_jobs=0))

    for _ in range(ROUNDS):
        rounds.run()

    assert not any((storage.root / job_folder("local", job_id)).exists() for job_id in others)
    assert client.zcard(keys.ENDED) == 0
    assert {each.member for each in aside(client)} == {f"local/{odd}"}
    assert "removed" in {each.kind for each in aside(client)}


def test_many_folders_that_stay_keep_no_other_job_from_being_swept(
    client: redis.Redis, storage: Storage, ended: list[str]
) -> None:
    odd, others = ended[: 2 * PER_ROUND], ended[2 * PER_ROUND :]
    rounds = Rounds(client, Failing(storage.root, odd), Settings(keep_jobs=0))

    for _ in range(ROUNDS):
        rounds.run()

    assert not any((storage.root / job_folder("local", job_id)).exists() for job_id in others)


def test_a_lease_without_a_record_keeps_no_other_job_from_being_taken_back(
    client: redis.Redis, storage: Storage
) -> None:
    held = [run(client, storage, count=COUNT + 1) for _ in range(MANY)]
    client.delete(name_of(held[0].job_id))
    client.zadd(keys.LEASES, {f"local/{each.job_id}": 1 for each in held})

    lost = {job for _ in range(3) for job in reap(client, limit=MANY).jobs}

    assert lost == {f"local/{each.job_id}" for each in held[1:]}
