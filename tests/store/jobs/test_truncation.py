"""Rows that the next ones could not be equal to are truncated."""

from typing import Any

import pytest
import redis

from store.jobs import calls
from store.redis import keys
from store.redis.constants import CHUNK_ROWS
from store.redis.functions import ReplayDiffers, send
from tests.support.store.continuing import INEXACT, accept, begun, left, taken, told, view
from tests.support.store.protocol import (
    append,
    begin,
    checkpoint,
    record_of,
    release,
    rows_of,
    some_rows,
    submit,
)


def test_an_inexact_job_goes_on_elsewhere_and_says_so(client: redis.Redis) -> None:
    job_id = left(client, INEXACT)
    assert view(client, job_id).job().waiting_for == "worker"

    held = taken(client, job_id, "f2")

    assert begun(client, held, "f2") == 6
    assert begun(client, held, "f2") == 6  # a repeated call says the same
    record = record_of(client, job_id)
    assert (record.rows, record.fingerprint, record.job().bitwise) == (6, "f2", False)
    assert told(client, job_id, "continued_elsewhere") == [{"from": "f1", "to": "f2", "step": 6}]
    assert told(client, job_id, "rows_cut")[0]["count"] == 3
    append(client, held, 6, some_rows(20, 3))


def test_an_inexact_job_on_a_worker_with_its_bits_is_compared_as_any_other(
    client: redis.Redis,
) -> None:
    job_id = left(client, INEXACT)
    held = taken(client, job_id, "f1")

    assert begun(client, held, "f1") == 0
    with pytest.raises(ReplayDiffers):
        append(client, held, 6, some_rows(20, 3))
    append(client, held, 6, some_rows(6, 3))
    job = record_of(client, job_id).job()
    assert (job.bitwise, job.verified_rows, job.truncations) == (True, 3, [])


def test_an_inexact_job_without_a_checkpoint_begins_anew_and_is_bitwise(
    client: redis.Redis,
) -> None:
    job_id = left(client, INEXACT, at=0)

    assert begun(client, taken(client, job_id, "f2"), "f2") == 0

    job = record_of(client, job_id).job()
    assert (job.step, job.bitwise, job.truncations) == (0, True, [0])


def test_an_exact_job_is_refused_by_a_worker_of_other_bits(client: redis.Redis) -> None:
    job_id = left(client)
    held = taken(client, job_id, "f1")

    assert begun(client, held, "f2") is None
    assert record_of(client, job_id).rows == 9


def test_a_checkpoint_from_before_the_change_is_no_ground_to_compare_rows(
    client: redis.Redis,
) -> None:
    """Falling back to it, the rows between are those of the worker that is gone."""
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 8))
    for step in (2, 5):
        checkpoint(client, held, step)
    release(client, held)
    accept(client, job_id)
    again = taken(client, job_id, "f2")
    begun(client, again, "f2")

    send(client, calls.refused(again, path="step-5", why="damaged"))

    record = record_of(client, job_id)
    assert (record.rows, record.truncations) == (2, [5, 2])
    append(client, again, 2, some_rows(30, 4))
    checkpoint(client, again, 6)
    assert begun(client, again, "f2") == 2


@pytest.mark.parametrize("at", [1, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS])
def test_rows_are_truncated_in_whichever_chunk_they_lie(client: redis.Redis, at: int) -> None:
    count = 2 * CHUNK_ROWS + 10
    job_id = left(client, {"training": {"steps": 10_000, "device": "cpu"}}, rows=count, at=at)

    accept(client, job_id)

    assert rows_of(client, job_id) == some_rows(0, at)
    stored: Any = [client.strlen(keys.ROWS % ("local", job_id, chunk)) for chunk in range(3)]
    assert sum(stored) == 16 * at
    again = taken(client, job_id, "f2")
    append(client, again, at, some_rows(0, 5000))
    assert rows_of(client, job_id) == some_rows(0, at) + some_rows(0, 5000)


def test_an_lr_off_its_plan_is_forgotten_with_its_row(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 9))
    checkpoint(client, held, 6)
    send(client, calls.off_plan(held, step=7, planned=1.0, applied=2.0))
    release(client, held)
    assert record_of(client, job_id).job().lr_off_plan_at == 7

    accept(client, job_id)

    assert record_of(client, job_id).job().lr_off_plan_at is None
