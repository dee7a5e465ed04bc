"""Workers by class: what a job lacks, and whose bell is rung."""

from typing import Any

import redis

from store.jobs import calls
from store.jobs.record import Record
from store.redis import keys
from store.redis.functions import send
from tests.support.store.protocol import begin, claim, hello, reap, release, submit


def say_hello(client: redis.Redis, worker: str, **fields: str) -> None:
    told = {"device": "cpu", "fingerprint": "f1", "host": "here", "pid": "1", **fields}
    send(client, calls.hello(worker, ttl_ms=60_000, claim=None, **told))


def look(client: redis.Redis, job_id: str) -> Record:
    record = send(client, calls.look("local", job_id))
    assert record is not None
    return record


def waiting_for(client: redis.Redis, job_id: str) -> str | None:
    return look(client, job_id).job().waiting_for


def members(client: redis.Redis, state: str, name: str) -> set[bytes]:
    found: Any = client.zrange(keys.CLASS % (state, name), 0, -1)
    return set(found)


def test_a_worker_is_in_the_class_of_its_device_and_fingerprint(client: redis.Redis) -> None:
    hello(client, "w1", fingerprint="")
    hello(client, "w2", fingerprint="f2")
    before = members(client, "idle", "cpu/")

    hello(client, "w1", fingerprint="f2")

    assert before == {b"w1"}
    assert members(client, "idle", "cpu/") == set()
    assert members(client, "idle", "cpu/f2") == {b"w1", b"w2"}


def test_a_worker_is_idle_busy_and_idle_again(client: redis.Redis) -> None:
    submit(client)
    hello(client)
    states = [members(client, state, "cpu/f1") for state in ("idle", "busy")]

    held = begin(client)
    working = [members(client, state, "cpu/f1") for state in ("idle", "busy")]
    release(client, held)

    assert states == [{b"w1"}, set()]
    assert working == [set(), {b"w1"}]
    assert [members(client, state, "cpu/f1") for state in ("idle", "busy")] == states


def test_a_worker_that_leaves_or_falls_silent_is_in_no_class(client: redis.Redis) -> None:
    for worker in ("w1", "w2"):
        hello(client, worker)
    job_id = submit(client)

    send(client, calls.bye("w1"))
    left = members(client, "idle", "cpu/f1")
    for name in (keys.WORKERS, keys.CLASS % ("idle", "cpu/f1")):
        client.zadd(name, {"w2": 1})
    silent = waiting_for(client, job_id)
    reap(client)

    assert left == {b"w2"}
    assert silent == "worker"
    assert client.smembers(keys.CLASSES) == set()


def test_workers_that_are_not_well_take_no_jobs_and_hear_no_bell(client: redis.Redis) -> None:
    say_hello(client, "w1", unwell="the storage is read-only")

    job_id = submit(client)
    ill = waiting_for(client, job_id)
    bells = (
        send(client, calls.ask("local", job_id, "pause")),
        send(client, calls.ask("local", job_id, "resume")),
    )
    say_hello(client, "w1", unwell="")

    assert ill == "machine"
    assert bells[1].wakeups == []
    assert waiting_for(client, job_id) is None
    assert claim(client) is not None


def test_a_worker_of_the_release_before_is_put_into_its_class(client: redis.Redis) -> None:
    """Its hello knows no classes: it writes its record and the set of all workers."""
    seconds, _ = client.time()
    record: dict[Any, Any] = {"id": "w0", "state": "idle", "job": "", "token": "", "since": "1"}
    client.hset(keys.WORKER % "w0", mapping=record | {"device": "cpu", "fingerprint": "f1"})
    client.zadd(keys.WORKERS, {"w0": 1000 * (seconds + 20)})
    job_id = submit(client)
    before = waiting_for(client, job_id)

    rung = reap(client).wakeups
    known = waiting_for(client, job_id)
    client.hset(keys.WORKER % "w0", "state", "busy")  # as its own claim does
    client.delete(keys.ADOPTED)
    reap(client)

    assert (before, known) == ("worker", None)
    assert rung == []  # the job has not waited for long
    assert members(client, "busy", "cpu/f1") == {b"w0"}
    assert members(client, "idle", "cpu/f1") == set()
