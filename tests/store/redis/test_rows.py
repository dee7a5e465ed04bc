"""Rows are stored once, whole and in order, and a repeated call changes nothing."""

import pytest
import redis

from store.jobs import calls
from store.jobs.series import PLAIN
from store.redis import keys
from store.redis.functions import Gap, ReplayDiffers, send
from tests.support.store.protocol import (
    append,
    begin,
    checkpoint,
    kinds,
    record_of,
    release,
    rows_of,
    some_rows,
    submit,
)


def test_rows_are_stored_by_offset_across_chunks(client: redis.Redis) -> None:
    job_id = submit(client, training={"steps": 10_000, "device": "cpu"})
    held = begin(client)

    for first in range(0, 10_000, 3_000):
        append(client, held, first, some_rows(first, min(3_000, 10_000 - first)))

    assert rows_of(client, job_id) == some_rows(0, 10_000)
    assert client.strlen(keys.ROWS % ("local", job_id, 0)) == 4096 * PLAIN.width


def test_a_repeated_append_changes_nothing(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)

    append(client, held, 0, some_rows(0, 5))
    append(client, held, 0, some_rows(0, 5))
    append(client, held, 3, some_rows(3, 5))

    assert rows_of(client, job_id) == some_rows(0, 8)


def test_a_gap_is_refused_and_says_what_is_there(client: redis.Redis) -> None:
    submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 2))

    with pytest.raises(Gap) as caught:
        append(client, held, 3, some_rows(3, 1))

    assert caught.value.rows == 2


@pytest.mark.parametrize("wrong", [0, 2, 4])
def test_a_row_that_comes_out_different_is_refused_and_named(
    client: redis.Redis, wrong: int
) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 5))
    rows = some_rows(0, 7)
    rows[wrong] = (rows[wrong][0], rows[wrong][1] + 1e-16 + 1e-12)

    with pytest.raises(ReplayDiffers, match=f"step {wrong} was computed again and differs"):
        append(client, held, 0, rows)

    assert rows_of(client, job_id) == some_rows(0, 5)


def test_nan_rows_are_compared_by_their_bits(client: redis.Redis) -> None:
    submit(client)
    held = begin(client)
    nan = [(0.1, float("nan"))]

    append(client, held, 0, nan)

    assert append(client, held, 0, nan) == ""


def test_replayed_rows_are_counted_once(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 6))
    send(client, calls.checkpointed(held, step=2, path="p", sha256="s", digest="d"))
    release(client, held)
    again = begin(client, "t2")

    for first in (2, 2, 4):
        append(client, again, first, some_rows(first, 3))
    append(client, again, 7, some_rows(7, 3))

    assert record_of(client, job_id).fields["verified"] == "4"
    assert rows_of(client, job_id) == some_rows(0, 10)


def test_the_last_three_checkpoints_are_kept(client: redis.Redis) -> None:
    submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 9))

    needed = [checkpoint(client, held, step) for step in (1, 2, 3, 4)]

    assert needed[-1] == ["step-2", "step-3", "step-4"]
    assert checkpoint(client, held, 4) == needed[-1]  # repeated: nothing changes


def test_a_refused_checkpoint_gives_way_to_the_one_before(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 9))
    for step in (2, 4, 6):
        checkpoint(client, held, step)
    release(client, held)

    again = begin(client, "t2")
    send(client, calls.refused(again, path="step-6", why="damaged"))
    append(client, again, 4, some_rows(4, 6))

    record = record_of(client, job_id)
    assert [pointer.path for pointer in record.checkpoints] == ["step-2", "step-4"]
    assert record.job().checkpoint_step == 4
    assert record.job().verified_rows == 5
    assert kinds(client, job_id)[-1] == "checkpoint_refused"
