"""One bad member among a hundred: the others are served, and somebody hears of it."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import redis

from optserve.contract.states import State
from store.errors import RecordTooNew
from store.jobs import calls
from store.jobs.calls import Claim, SetAside, Unreadable
from store.jobs.record import SUMMARY
from store.redis import keys
from store.redis.constants import FORMAT
from store.redis.functions import Call, send
from tests.support.store.protocol import begin, claim, hello, reap, record_of, submit

MANY = 100


def set_aside(client: redis.Redis) -> list[SetAside]:
    return send(client, calls.set_aside_members())


def running(client: redis.Redis, count: int = MANY) -> list[Claim]:
    for _ in range(count):
        submit(client)
    return [begin(client, f"t{i}", worker=f"w{i}") for i in range(count)]


def lose_leases(client: redis.Redis) -> None:
    members: Any = client.zrange(keys.LEASES, 0, -1)
    client.zadd(keys.LEASES, dict.fromkeys(members, 1))


def test_a_lease_without_a_record_holds_up_no_other(client: redis.Redis) -> None:
    held = running(client)
    client.delete(keys.JOB % ("local", held[0].job_id))
    client.zadd(keys.LEASES, {"local/job_never": 1, "nonsense": 1})
    lose_leases(client)

    lost = reap(client, limit=200).jobs

    assert set(lost) == {f"local/{each.job_id}" for each in held[1:]}
    assert client.zcard(keys.LEASES) == 0


def test_a_record_that_is_damaged_holds_up_no_other_and_is_told_of(client: redis.Redis) -> None:
    held = running(client)
    damaged = held[0].job_id
    client.hset(keys.JOB % ("local", damaged), "crashes", "many")
    lose_leases(client)

    lost = reap(client, limit=200).jobs
    again = reap(client, limit=200).jobs

    assert set(lost) == {f"local/{each.job_id}" for each in held[1:]}
    assert again == []
    (aside,) = set_aside(client)
    assert (aside.kind, aside.member, aside.tries) == ("lease", f"local/{damaged}", 1)
    assert "crashes" in aside.why or "nil" in aside.why


def test_what_was_set_aside_is_tried_again_and_forgotten_once_it_is_handled(
    client: redis.Redis,
) -> None:
    (held,) = running(client, 1)
    crashes = record_of(client, held.job_id).fields["crashes"]
    client.hset(keys.JOB % ("local", held.job_id), "crashes", "many")
    lose_leases(client)
    reap(client)
    client.hset(keys.JOB % ("local", held.job_id), "crashes", crashes)

    lose_leases(client)

    assert reap(client).jobs == [f"local/{held.job_id}"]
    assert set_aside(client) == []


@pytest.mark.parametrize("harm", ["gone", "running", "without fields", "of another type"])
def test_what_cannot_be_claimed_does_not_stand_before_what_can(
    client: redis.Redis, harm: str
) -> None:
    bad, good = submit(client), submit(client)
    name = keys.JOB % ("local", bad)
    match harm:
        case "gone":
            client.delete(name)
        case "running":
            client.hset(name, "state", "running")
        case "without fields":
            client.hdel(name, "queued", "rows")
        case _:
            client.delete(name)
            client.set(name, "something else")

    first, second = claim(client, "t1"), claim(client, "t2", worker="w2")

    assert first is not None
    assert (first.id, second) == (good, None)
    assert [(each.kind, each.member) for each in set_aside(client)] == [("pending", f"local/{bad}")]


def test_a_damaged_record_is_one_of_a_list_and_the_others_are_read(client: redis.Redis) -> None:
    ids = [submit(client) for _ in range(MANY)]
    client.delete(keys.JOB % ("local", ids[7]))
    client.set(keys.JOB % ("local", ids[7]), "something else")

    found = send(client, calls.summaries("local", SUMMARY, ids))

    assert [record.id for record in found if record is not None] == ids
    (odd,) = (record for record in found if isinstance(record, Unreadable))
    assert odd.id == ids[7]
    assert odd.why.startswith("the job's record in Redis is damaged: WRONGTYPE")


def test_a_damaged_job_that_is_not_kept_any_longer_does_not_keep_the_others(
    client: redis.Redis,
) -> None:
    ids = [submit(client) for _ in range(3)]
    for job_id in ids:
        send(client, calls.ask("local", job_id, "cancel"))
    client.hset(keys.JOB % ("local", ids[0]), "rows", "many")

    call = calls.expire(limit=10, max_age_ms=None, max_jobs=0, max_bytes=None)
    removed = send(client, call)

    assert removed == [f"local/{job_id}" for job_id in ids[1:]]
    assert [each.kind for each in set_aside(client)] == ["ended"]


def test_a_job_of_a_newer_release_is_left_to_its_workers(client: redis.Redis) -> None:
    newer, ours = submit(client), submit(client)
    client.hset(keys.JOB % ("local", newer), "format", FORMAT + 1)

    found = claim(client, "t1")

    assert found is not None
    assert found.id == ours
    assert claim(client, "t2", worker="w2") is None
    assert record_of_state(client, newer) is State.QUEUED
    assert set_aside(client) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda job_id: calls.look("local", job_id),
        *(partial(calls.ask, "local", action=action) for action in ("cancel", "pause", "resume")),
        lambda job_id: calls.restart("local", job_id),
        lambda job_id: calls.accept("local", job_id),
    ],
)
def test_a_record_of_a_newer_release_is_neither_read_nor_changed(
    client: redis.Redis, call: Callable[[str], Call[object]]
) -> None:
    job_id = submit(client)
    name = keys.JOB % ("local", job_id)
    client.hset(name, "format", FORMAT + 1)
    before = client.hgetall(name)

    with pytest.raises(RecordTooNew) as raised:
        send(client, call(job_id))

    assert str(raised.value) == (
        "a newer release of optserve has written the job's record "
        f"(format {FORMAT + 1}; this release knows formats up to {FORMAT}): send the request to a "
        "service with that release"
    )
    assert client.hgetall(name) == before


def test_jobs_of_a_newer_release_are_neither_taken_back_nor_removed(client: redis.Redis) -> None:
    held = running(client, 3)
    ended, last = submit(client), submit(client)
    send(client, calls.ask("local", ended, "cancel"))
    send(client, calls.ask("local", last, "cancel"))
    for job_id in (held[0].job_id, ended):
        client.hset(keys.JOB % ("local", job_id), "format", FORMAT + 1)
    lose_leases(client)

    lost = reap(client).jobs
    removed = send(client, calls.expire(limit=5, max_age_ms=None, max_jobs=0, max_bytes=None))

    assert set(lost) == {f"local/{each.job_id}" for each in held[1:]}
    assert removed == [f"local/{last}"]
    assert client.zscore(keys.ENDED, f"local/{ended}") is not None


def record_of_state(client: redis.Redis, job_id: str) -> State:
    state: Any = client.hget(keys.JOB % ("local", job_id), "state")
    return State(state.decode())


def test_the_service_counts_what_is_set_aside(client: redis.Redis) -> None:
    hello(client)
    for member in ("local/a", "local/b"):
        send(client, calls.set_aside("archive", member, why="it is damaged"))
    send(client, calls.set_aside("archive", "local/a", why="it is still damaged"))

    assert send(client, calls.monitored()).set_aside == {"archive": 2}
    tries = {each.member: each.tries for each in set_aside(client)}
    assert tries == {"local/a": 2, "local/b": 1}
    assert json.loads(client.hget(keys.SET_ASIDE, "archive local/a") or "{}")["why"] == (
        "it is still damaged"
    )


def test_a_damaged_worker_keeps_no_job_from_being_taken_back(client: redis.Redis) -> None:
    held = running(client, 2)
    client.set(keys.WORKER % "odd", "text")
    client.zadd(keys.WORKERS, {"odd": 2**52})
    client.delete(keys.ADOPTED)
    lose_leases(client)

    assert len(reap(client).jobs) == len(held)
    assert [(each.kind, each.member) for each in set_aside(client)] == [("worker", "odd")]


@pytest.mark.parametrize("spec", ["[1]", "{", None])
def test_a_damaged_record_keeps_no_other_from_being_found_by_its_labels(
    client: redis.Redis, spec: str | None
) -> None:
    odd, *others = [submit(client, labels={"team": "a"}) for _ in range(3)]
    for job_id in (odd, *others):  # as the release before leaves them
        client.hdel(keys.JOB % ("local", job_id), "labels", "name", "time_limit_s")
    client.delete(keys.INDEXED, keys.LABELLED % ("local", "team=a"))
    if spec is None:
        client.set(keys.JOB % ("local", odd), "text")
    else:
        client.hset(keys.JOB % ("local", odd), "spec", spec)

    assert not send(client, calls.index_labels())

    call = calls.find("local", state="", labels={"team": "a"}, after="", limit=10)
    assert set(send(client, call).ids) == set(others)
    assert [(each.kind, each.member) for each in set_aside(client)] == [("label", f"local/{odd}")]


def test_jobs_that_come_while_labels_are_indexed_do_not_make_that_begin_again(
    client: redis.Redis,
) -> None:
    """It takes as many calls as there are jobs of the release before, and no more."""
    ids = [submit(client) for _ in range(1200)]
    client.delete(keys.INDEXED)
    for job_id in ids:
        client.hdel(keys.JOB % ("local", job_id), "labels")

    calls_made = 1
    while send(client, calls.index_labels()):
        submit(client)
        calls_made += 1
        assert calls_made < 10

    assert client.get(keys.INDEXED) == client.get(keys.NUMBER)
