"""The buffer between the loop that adds rows and the thread that stores them."""

import struct
import sys
import threading
from collections.abc import Iterator

import pytest

from optcore.training.reports import StepReport
from store.jobs.series import FLOAT64, PLAIN, Series
from worker.reporting.buffer import BATCH_BYTES, RowBuffer

WIDE = Series(("lr", "loss", "grad_norm"), 3)


def test_a_batch_holds_what_was_added_and_stays_until_it_is_dropped() -> None:
    rows = RowBuffer(first=5, width=3, most_bytes=2**20)
    for step in range(5, 15):
        rows.add(StepReport(step, 0.1, 0.2, values=(step,)))

    batch = rows.batch()
    rows.add(StepReport(15, 0.1, 0.2, values=(15,)))
    again = rows.batch()
    rows.drop(batch)
    rest = rows.batch()

    assert batch.first == again.first == 5
    assert list(WIDE.unpack(batch.data)) == [(0.1, 0.2, step) for step in range(5, 15)]
    assert again.data.startswith(batch.data)
    assert (rest.first, list(WIDE.unpack(rest.data))) == (15, [(0.1, 0.2, 15)])
    assert len(rows) == 1


def test_a_batch_is_not_too_large_and_has_the_lrs_of_its_rows() -> None:
    rows = RowBuffer(first=0, width=2, groups=3, most_bytes=2**30)
    count = 2 * BATCH_BYTES // PLAIN.width + 7
    for step in range(count):
        rows.add(StepReport(step, 0.0, step, (step, step + 0.25, step + 0.5)))

    firsts, lrs, data = [], b"", b""
    while (batch := rows.batch()).data:
        assert len(batch.data) <= BATCH_BYTES
        assert len(batch.lrs) * 2 == len(batch.data) * 3
        firsts.append(batch.first)
        lrs, data = lrs + batch.lrs, data + batch.data
        rows.drop(batch)

    assert firsts == [0, BATCH_BYTES // PLAIN.width, 2 * BATCH_BYTES // PLAIN.width]
    assert [row[1] for row in PLAIN.unpack(data)] == list(range(count))
    expected = [step + x for step in range(count) for x in (0, 0.25, 0.5)]
    assert lrs == struct.pack(f"<{len(expected)}d", *expected)


def test_packing_a_row_drops_its_objects() -> None:
    rows = RowBuffer(first=0, width=2, most_bytes=2**20)
    number = 0.1 + 0.2
    held = sys.getrefcount(number)
    rows.add(StepReport(0, number, 1.0))

    rows.pack()
    rows.pack()

    assert sys.getrefcount(number) == held
    assert list(PLAIN.unpack(rows.batch().data)) == [(number, 1.0)]


def test_the_buffer_is_saturated_until_enough_rows_are_dropped() -> None:
    rows = RowBuffer(first=0, width=2, most_bytes=100 * PLAIN.width)

    for step in range(99):
        rows.add(StepReport(step, 0.0, 1.0))
    before = rows.saturated
    rows.add(StepReport(99, 0.0, 1.0))
    then = rows.saturated
    rows.drop(rows.batch())

    assert (before, then, rows.saturated) == (False, True, False)


def test_the_lrs_of_many_groups_count_towards_saturation() -> None:
    groups, limit = 100, 2**20
    row_bytes = FLOAT64 * (2 + groups)
    rows = RowBuffer(first=0, width=2, groups=groups, most_bytes=limit)

    count = 0
    while not rows.saturated:
        rows.add(StepReport(count, 0.0, 1.0, tuple(float(count + i) for i in range(groups))))
        count += 1
    batch = rows.batch()
    rows.drop(batch)

    assert limit <= count * row_bytes < limit + row_bytes
    assert (len(batch.data), len(batch.lrs)) == (count * PLAIN.width, count * FLOAT64 * groups)
    assert not rows.saturated


def test_rows_added_by_one_thread_are_taken_by_another_in_order() -> None:
    rows, count, found = RowBuffer(first=0, width=2, groups=2, most_bytes=2**30), 200_000, []

    def take() -> None:
        taken = 0
        while taken < count:
            batch = rows.batch()
            assert batch.first == taken
            assert len(batch.lrs) == len(batch.data)
            found.append(batch)
            taken += len(batch.data) // PLAIN.width
            rows.drop(batch)

    thread = threading.Thread(target=take)
    thread.start()
    rows.add(StepReport(0, 0.0, 0.0, (0, 1.0)))
    rows.add_all(StepReport(step, step, -step, (step, 1.0)) for step in range(1, count // 2))
    for step in range(count // 2, count):
        rows.add(StepReport(step, step, -step, (step, 1.0)))
    thread.join()

    data, lrs = b"".join(batch.data for batch in found), b"".join(batch.lrs for batch in found)
    assert list(PLAIN.unpack(data)) == [(step, -step) for step in range(count)]
    assert list(PLAIN.unpack(lrs)) == [(step, 1) for step in range(count)]


def test_rows_before_an_error_are_kept() -> None:
    def reports() -> Iterator[StepReport]:
        for step in range(100):
            yield StepReport(step, 0.1, step)
        raise ValueError("loss must be finite")

    rows = RowBuffer(first=0, width=2, most_bytes=2**20)

    with pytest.raises(ValueError, match="loss must be finite"):
        rows.add_all(reports())

    assert list(PLAIN.unpack(rows.batch().data)) == [(0.1, step) for step in range(100)]


def test_a_step_that_is_not_the_next_one_is_an_error() -> None:
    rows = RowBuffer(first=3, width=2, most_bytes=2**20)
    rows.add(StepReport(3, 0.1, 0.2))
    rows.add(StepReport(5, 0.1, 0.2))

    with pytest.raises(AssertionError, match=r"rows from 3 are of steps \(3, 5\)"):
        rows.batch()
