"""A history that grows while its job runs: older entries lie in files, and none is lost."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import redis

from store.archive import histories
from store.jobs import calls
from store.jobs.calls import Claim
from store.redis import keys
from store.redis.constants import HISTORY_ENTRIES
from store.redis.functions import send
from store.storage.names import history_folder, job_folder
from store.storage.storage import Storage
from tests.support.store.archiving import moved
from tests.support.store.protocol import append, begin, record_of, some_rows, submit
from tests.support.store.rounds import Rounds

pytestmark = [pytest.mark.anyio, pytest.mark.long]


def begun(client: redis.Redis, storage: Storage, *, steps: int = 10_000) -> Claim:
    submit(client, training={"steps": steps, "device": "cpu"})
    held = begin(client)
    (storage.root / job_folder("local", held.job_id)).mkdir(parents=True)
    return held


def evaluate(client: redis.Redis, held: Claim, first: int, count: int) -> None:
    for step in range(first, first + count):
        send(client, calls.evaluated(held, step=step, data={"step": step, "test_loss": 1 / step}))


def in_store(client: redis.Redis, held: Claim) -> int:
    return int(client.llen(keys.EVENTS % ("local", held.job_id)))


def files_of(storage: Storage, held: Claim) -> set[str]:
    return {path.name for path in (storage.root / history_folder("local", held.job_id)).iterdir()}


async def pages(http: httpx.AsyncClient, job_id: str, limit: int) -> list[dict[str, object]]:
    """Read a whole history, page by page."""
    found: list[dict[str, object]] = []
    while True:
        path = f"/v1/jobs/{job_id}/events"
        page = (await http.get(path, params={"after": len(found), "limit": limit})).json()
        found += page["data"]
        if not page["has_more"]:
            return found


@pytest.mark.parametrize("limit", [7, 150, 1000])
async def test_it_reads_as_if_it_had_never_been_moved(
    http: httpx.AsyncClient, client: redis.Redis, rounds: Rounds, storage: Storage, limit: int
) -> None:
    held = begun(client, storage)
    for first in range(1, 1800, 450):
        evaluate(client, held, first, 450)
        rounds.run()

    found = await pages(http, held.job_id, limit)

    assert [entry["id"] for entry in found] == list(range(1, 1803))
    steps = [entry["data"]["step"] for entry in found if entry["kind"] == "evaluated"]  # type: ignore[index]
    assert steps == list(range(1, 1801))
    assert in_store(client, held) <= HISTORY_ENTRIES


async def test_what_the_store_keeps_of_a_history_is_bounded(
    client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    held = begun(client, storage)
    rounds.run()
    for first in range(1, 6000, HISTORY_ENTRIES):
        evaluate(client, held, first, HISTORY_ENTRIES)
        rounds.run("histories")

    evaluations = client.hlen(keys.EVALUATIONS % ("local", held.job_id))
    parts = json.loads(record_of(client, held.job_id).fields["history"])
    assert in_store(client, held) <= HISTORY_ENTRIES
    assert evaluations <= HISTORY_ENTRIES
    assert len(parts) < 10
    assert files_of(storage, held) == {part["path"].rpartition("/")[2] for part in parts}


async def test_no_part_of_a_history_is_joined_again_and_again(
    client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    held = begun(client, storage)
    rounds.run()
    evaluate(client, held, 1, histories.ENTRIES_LEFT)
    most = histories.JOINED**histories.HIGHEST_RANK

    for i in range(2 * most + 1):
        evaluate(client, held, 1 + histories.ENTRIES_LEFT + i, 1)
        histories.shorten(client, storage, "local", held.job_id)

    parts = json.loads(record_of(client, held.job_id).fields["history"])
    # The first move has the entries from before the first evaluation as well.
    assert [part["rank"] for part in parts] == [2, 2, 0]
    assert [part["count"] for part in parts[1:]] == [most, 1]


async def test_an_evaluation_that_is_told_again_is_no_new_entry(
    client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    """A run that goes on from its checkpoint evaluates once more what the history has long ago."""
    held = begun(client, storage)
    evaluate(client, held, 1, 600)
    rounds.run()
    before = record_of(client, held.job_id).fields["rev"]

    evaluate(client, held, 1, 600)
    evaluate(client, held, 601, 1)

    assert int(record_of(client, held.job_id).fields["rev"]) == int(before) + 1


async def test_steps_that_were_cut_may_be_evaluated_anew(
    client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    held = begun(client, storage)
    append(client, held, 0, some_rows(0, 600))
    evaluate(client, held, 1, 600)
    rounds.run()
    send(client, calls.release(held, why="test"))
    send(client, calls.restart("local", held.job_id))
    held = begin(client, "t2")
    before = int(record_of(client, held.job_id).fields["rev"])

    evaluate(client, held, 1, 5)

    assert int(record_of(client, held.job_id).fields["rev"]) == before + 5


async def test_a_stream_of_a_history_goes_on_through_the_move(
    http: httpx.AsyncClient, client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    held = begun(client, storage)
    evaluate(client, held, 1, 900)
    rounds.run()
    send(client, calls.fail(held, reason="error", detail="enough"))

    streamed = (await http.get(f"/v1/jobs/{held.job_id}/events/stream")).text

    ids = [line for line in streamed.splitlines() if line.startswith("id: ")]
    assert ids == [f"id: {i}" for i in range(1, 904)]


async def test_it_is_whole_once_the_job_has_ended_and_lies_in_files_alone(
    http: httpx.AsyncClient, client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    held = begun(client, storage)
    append(client, held, 0, some_rows(0, 10))
    evaluate(client, held, 1, 1000)
    rounds.run()
    send(client, calls.fail(held, reason="error", detail="enough"))
    before = await pages(http, held.job_id, 300)

    moved(client, rounds)

    assert in_store(client, held) == 0
    assert await pages(http, held.job_id, 300) == before
    assert len(before) == 1003


async def test_of_several_who_move_entries_at_once_one_is_first(
    client: redis.Redis, storage: Storage, rounds: Rounds
) -> None:
    held = begun(client, storage)
    rounds.run()
    for first in range(1, 2400, 600):
        evaluate(client, held, first, 600)
        with ThreadPoolExecutor(4) as threads:
            calls_made = [
                threads.submit(histories.shorten, client, storage, "local", held.job_id)
                for _ in range(4)
            ]
        for each in calls_made:
            each.result()

    fields = record_of(client, held.job_id).fields
    parts = json.loads(fields["history"])
    assert sum(part["count"] for part in parts) == int(fields["history_moved"])
    assert int(fields["history_moved"]) + in_store(client, held) == int(fields["rev"]) == 2402
    assert files_of(storage, held) == {part["path"].rpartition("/")[2] for part in parts}


async def test_while_the_storage_is_away_entries_stay_in_the_store(
    http: httpx.AsyncClient, client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    held = begun(client, storage)
    rounds.run()
    storage.root.rename(storage.root.with_name("away"))
    evaluate(client, held, 1, 900)

    with pytest.raises(FileNotFoundError):  # the last probe found it well
        rounds.run("histories")
    rounds.run("histories")

    assert in_store(client, held) == 902
    assert len(await pages(http, held.job_id, 500)) == 902
