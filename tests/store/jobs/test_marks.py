"""When rows were stored: marks of a job's time, on a real server."""

from itertools import pairwise

import redis

from store.jobs import calls
from store.redis import keys
from store.redis.functions import send
from tests.support.store.protocol import (
    append,
    begin,
    marks_of,
    release,
    some_rows,
    submit,
    trained_for,
)


def test_a_mark_says_for_how_long_the_job_had_been_trained(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)

    trained_for(client, job_id, 7.5)
    append(client, held, 0, some_rows(0, 6))

    ((rows, spent),) = marks_of(client, job_id)
    assert rows == 6
    assert 7.5 <= spent < 8.5


def test_marks_are_a_second_and_some_rows_apart_and_the_last_is_that_of_the_last_row(
    client: redis.Redis,
) -> None:
    job_id = submit(client)
    held = begin(client)

    for step in range(100):
        trained_for(client, job_id, 0.25 * step)
        append(client, held, step, some_rows(step, 1))

    marks = marks_of(client, job_id)
    apart = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(marks[:-1])]
    assert marks[-1][0] == 100
    assert 20 <= len(marks) <= 27
    assert all(rows >= 4 and 0.99 <= spent < 2 for rows, spent in apart[1:])


def test_slow_steps_take_a_mark_for_every_few(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)

    for step in range(40):
        trained_for(client, job_id, 100 * step)
        append(client, held, step, some_rows(step, 1))

    assert [rows for rows, _ in marks_of(client, job_id)][:4] == [1, 5, 9, 13]


def test_rows_that_are_there_already_leave_no_mark(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 8))
    before = marks_of(client, job_id)
    release(client, held)

    append(client, begin(client, "t2"), 0, some_rows(0, 8))

    assert marks_of(client, job_id) == before


def test_time_counts_over_all_attempts_and_never_goes_back(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    trained_for(client, job_id, 50)
    append(client, held, 0, some_rows(0, 8))
    release(client, held)

    again = begin(client, "t2")
    trained_for(client, job_id, 10)
    append(client, again, 8, some_rows(8, 4))
    trained_for(client, job_id, -1000)  # the server's clock was set back
    append(client, again, 12, some_rows(12, 4))

    marks = marks_of(client, job_id)
    assert [rows for rows, _ in marks] == [8, 12, 16]
    assert 60 <= marks[1][1] == marks[2][1] < 62


def test_marks_are_cut_with_the_rows(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    for step in range(0, 40, 4):
        trained_for(client, job_id, 10 * step)
        append(client, held, step, some_rows(step, 4))
    whole = marks_of(client, job_id)
    send(client, calls.checkpointed(held, step=22, path="p", sha256="s", digest="d"))
    release(client, held)

    send(client, calls.accept("local", job_id))
    cut = marks_of(client, job_id)
    send(client, calls.restart("local", job_id))

    assert cut == [mark for mark in whole if mark[0] <= 22]
    assert len(cut) == 5
    assert not client.exists(keys.MARKS % ("local", job_id))


def test_marks_go_with_their_job(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 8))
    send(client, calls.fail(held, reason="error", detail="a test"))

    send(client, calls.expire(limit=1, max_age_ms=None, max_jobs=0, max_bytes=None))

    assert not list(client.scan_iter(f"*{job_id}*", count=1000))
