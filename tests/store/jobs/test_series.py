"""Rows of more columns than lr and loss, on a real server."""

import math

import pytest
import redis

from optserve.contract.requests.job import JobSpec
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.jobs.record import Record
from store.jobs.series import PLAIN, Row, Series
from store.redis import keys
from store.redis.functions import ReplayDiffers, send
from tests.support.store.protocol import SPEC, append, begin, record_of, release, rows_of, submit

WIDE = Series(("lr", "loss", "grad_norm", "examples_per_s", "memory_mb"), 3)


def begun_wide(client: redis.Redis) -> Claim:
    """Return a running job whose rows hold what WIDE says."""
    held = begin_wide(client)
    append(client, held, 0, wide_rows(0, 5, speed=100.0), WIDE)
    return held


def begin_wide(client: redis.Redis) -> Claim:
    fields = new_fields(JobSpec.parse(SPEC)) | WIDE.fields()
    send(client, calls.submit("local", new_id(), fields, idempotency_key="", body_sha="sha"))
    return begin(client)


def wide_rows(first: int, count: int, *, speed: float) -> list[Row]:
    return [(0.1, 1 / (i + 1), 2.0 * i, speed + i, 10.0) for i in range(first, first + count)]


def test_a_job_that_asks_for_nothing_else_has_lr_and_loss(client: redis.Redis) -> None:
    record = record_of(client, submit(client))

    assert record.series == PLAIN
    assert record.job().columns == ["lr", "loss"]


def test_a_record_from_before_there_were_columns_has_lr_and_loss() -> None:
    assert Record({}).series == PLAIN


def test_wide_rows_come_back_as_they_were(client: redis.Redis) -> None:
    held = begun_wide(client)

    record = record_of(client, held.job_id)
    assert record.series == WIDE
    assert record.job().columns == list(WIDE.columns)
    assert rows_of(client, held.job_id) == wide_rows(0, 5, speed=100.0)


def test_what_was_observed_is_overwritten_on_replay_and_never_a_difference(
    client: redis.Redis,
) -> None:
    held = begun_wide(client)

    append(client, held, 1, wide_rows(1, 6, speed=math.nan), WIDE)

    rows = rows_of(client, held.job_id)
    assert rows[0] == wide_rows(0, 1, speed=100.0)[0]
    assert [row[:3] for row in rows] == [row[:3] for row in wide_rows(0, 7, speed=0.0)]
    assert all(math.isnan(row[3]) for row in rows[1:])


@pytest.mark.parametrize("wrong", [1, 4])
def test_a_computed_column_that_comes_out_different_is_refused_and_nothing_is_written(
    client: redis.Redis, wrong: int
) -> None:
    held = begun_wide(client)
    rows = wide_rows(0, 7, speed=200.0)
    rows[wrong] = (*rows[wrong][:2], rows[wrong][2] + 1e-12, *rows[wrong][3:])

    with pytest.raises(ReplayDiffers, match=f"step {wrong} was computed again and differs"):
        append(client, held, 0, rows, WIDE)

    assert rows_of(client, held.job_id) == wide_rows(0, 5, speed=100.0)


def test_replayed_wide_rows_count_as_verified(client: redis.Redis) -> None:
    held = begun_wide(client)
    send(client, calls.checkpointed(held, step=2, path="p", sha256="s", digest="d"))
    release(client, held)
    again = begin(client, "t2")

    append(client, again, 2, wide_rows(2, 3, speed=7.0), WIDE)

    assert record_of(client, held.job_id).job().verified_rows == 3


def test_wide_rows_cross_chunks(client: redis.Redis) -> None:
    held = begin_wide(client)
    rows = wide_rows(0, 9000, speed=1.0)

    for first in range(0, 9000, 2500):
        append(client, held, first, rows[first : first + 2500], WIDE)
    append(client, held, 4000, wide_rows(4000, 500, speed=2.0), WIDE)

    stored = rows_of(client, held.job_id)
    assert client.strlen(keys.ROWS % ("local", held.job_id, 0)) == 4096 * WIDE.width
    assert stored[:4000] + stored[4500:] == rows[:4000] + rows[4500:]
    assert stored[4000:4500] == wide_rows(4000, 500, speed=2.0)
