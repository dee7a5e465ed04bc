"""A job with rows goes on only where bits are the same."""

import redis

from store.jobs import calls
from store.redis.functions import send
from tests.support.store.protocol import (
    append,
    ask,
    begin,
    claim,
    hello,
    reaped_wakeups,
    record_of,
    release,
    some_rows,
    submit,
)


def test_a_job_with_rows_goes_on_only_where_bits_are_the_same(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client, fingerprint="f1")
    append(client, held, 0, some_rows(0, 3))
    release(client, held)

    assert claim(client, "t2", worker="w2", fingerprint="f2") is None
    again = claim(client, "t3", worker="w3", fingerprint="f1")

    assert again is not None
    assert again.id == job_id
    assert again.facts == {"threads": "2"}


def test_a_job_without_rows_may_begin_anywhere(client: redis.Redis) -> None:
    job_id = submit(client)
    release(client, begin(client, fingerprint="f1"))

    held = begin(client, "t2", worker="w2", fingerprint="f2")

    assert held.job_id == job_id
    assert record_of(client, job_id).fingerprint == "f2"


def test_another_machine_is_told_that_its_bits_differ(client: redis.Redis) -> None:
    submit(client)
    held = begin(client, fingerprint="f1")

    assert send(client, calls.begun(held, fingerprint="f1", facts={})) == 0
    assert send(client, calls.begun(held, fingerprint="f2", facts={})) is None


def test_a_queued_job_says_what_it_lacks(client: redis.Redis) -> None:
    job_id = submit(client)
    assert lacked(client, job_id) == "worker"

    held = begin(client, fingerprint="f1")
    assert lacked(client, job_id) is None
    append(client, held, 0, some_rows(0, 3))
    release(client, held)
    assert lacked(client, job_id) is None  # it only waits its turn

    send(client, calls.bye("w1"))
    hello(client, "w2", fingerprint="f2")
    assert lacked(client, job_id) == "fingerprint"


def lacked(client: redis.Redis, job_id: str) -> str | None:
    record = send(client, calls.look("local", job_id))
    assert record is not None
    return record.job().waiting_for


def test_only_workers_that_may_take_the_job_are_woken(client: redis.Redis) -> None:
    submit(client)
    held = begin(client, fingerprint="f1")
    append(client, held, 0, some_rows(0, 3))
    hello(client, "w2", fingerprint="f2")

    assert send(client, calls.release(held, why="test")).wakeups == ["cpu"]
    send(client, calls.bye("w1"))
    again = ask(client, held.job_id, "pause"), ask(client, held.job_id, "resume")
    assert again == ("paused", "queued")
    assert reaped_wakeups(client) == []
