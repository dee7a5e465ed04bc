"""For how long jobs were held up by rows that were not stored, on a real server."""

import redis

from store.redis import keys
from tests.support.store.protocol import append, begin, record_of, release, some_rows, submit


def held_up_s(client: redis.Redis, job_id: str) -> float:
    return record_of(client, job_id).job().stalled_s


def test_a_job_tells_for_how_long_it_was_held_up_in_all_attempts(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    before = held_up_s(client, job_id)
    append(client, held, 0, some_rows(0, 2), stalled_ms=1500)
    append(client, held, 2, some_rows(2, 2), stalled_ms=2000)
    release(client, held)

    again = begin(client, "t2")
    append(client, again, 4, some_rows(4, 1), stalled_ms=0)
    append(client, again, 5, some_rows(5, 1), stalled_ms=250)

    assert before == 0
    assert held_up_s(client, job_id) == 2.25


def test_a_repeated_call_counts_once_for_the_job_and_for_all_jobs(client: redis.Redis) -> None:
    job_id, other = submit(client), submit(client)
    held = begin(client)
    for _ in range(3):
        append(client, held, 0, some_rows(0, 2), stalled_ms=1500)
    append(client, begin(client, "t2", worker="w2"), 0, some_rows(0, 2), stalled_ms=500)

    assert held_up_s(client, job_id) == 1.5
    assert held_up_s(client, other) == 0.5
    assert client.hget(keys.COUNTERS, "held_up_ms") == b"2000"
