"""Buckets: each number in them is what a plain loop over the rows finds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from api.metrics.charts.buckets import BUCKET, COUNTS, NOWHERE, Buckets, coarser, points, summarize

NAN, INFINITY = math.nan, math.inf
SOME = st.sampled_from([0.0, -0.0, 1.0, -1.0, 5e-324, 1.7e308, -1.7e308, NAN, INFINITY, -INFINITY])
SERIES = st.lists(st.tuples(SOME, st.floats()), max_size=300)
SIZES = st.sampled_from([1, 2, 4, 16, 64])


def array(rows: list[tuple[float, float]]) -> NDArray[np.float64]:
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def by_hand(values: list[float], first: int, size: int) -> list[dict[str, float]]:
    """Return the buckets of a column, found one value after another."""
    found: dict[int, dict[str, float]] = {}
    for row, value in enumerate(values, first):
        bucket = found.setdefault(
            row // size,
            {"low": INFINITY, "high": -INFINITY, "odd": NAN}
            | dict.fromkeys(("low_at", "high_at", "odd_at"), NOWHERE)
            | dict.fromkeys(COUNTS, 0),
        )
        if math.isfinite(value):
            if value < bucket["low"]:
                bucket |= {"low": value, "low_at": row}
            if value > bucket["high"]:
                bucket |= {"high": value, "high_at": row}
            continue
        bucket["nan" if math.isnan(value) else "infinity" if value > 0 else "minus_infinity"] += 1
        if bucket["odd_at"] == NOWHERE:
            bucket |= {"odd": value, "odd_at": row}
    return list(found.values())


def assert_same(buckets: Buckets, column: int, expected: list[dict[str, float]]) -> None:
    assert len(buckets) == len(expected)
    for name in BUCKET.names or ():
        wanted = np.array([bucket[name] for bucket in expected], BUCKET[name])
        np.testing.assert_array_equal(buckets[name][:, column], wanted, err_msg=name)


@given(SERIES, st.integers(0, 200), SIZES)
def test_buckets_equal_those_of_a_plain_loop(
    rows: list[tuple[float, float]], first: int, size: int
) -> None:
    buckets = summarize(array(rows), first, size)

    for column in (0, 1):
        assert_same(buckets, column, by_hand([row[column] for row in rows], first, size))


@given(SERIES, st.integers(0, 200), SIZES, st.sampled_from([1, 2, 8]))
def test_merged_buckets_equal_those_of_the_rows(
    rows: list[tuple[float, float]], first: int, size: int, factor: int
) -> None:
    fine = summarize(array(rows), first, size)

    coarse = coarser(fine, first // size, factor)

    for column in (0, 1):
        expected = by_hand([row[column] for row in rows], first, size * factor)
        assert_same(coarse, column, expected)


@given(SERIES, st.integers(0, 40), SIZES)
def test_points_are_the_extremes_of_each_bucket_in_order(
    rows: list[tuple[float, float]], first: int, size: int
) -> None:
    values = [row[1] for row in rows]

    drawn = points(summarize(array(rows), first, size)[:, 1])

    assert np.all(np.diff(drawn.steps) > 0)
    expected = []
    for bucket in by_hand(values, first, size):
        finite = {bucket["low_at"], bucket["high_at"]} - {NOWHERE}
        expected += sorted(finite or {bucket["odd_at"]})
    assert drawn.steps.tolist() == expected
    np.testing.assert_array_equal(drawn.values, [values[int(step) - first] for step in expected])


@given(st.lists(st.floats(), max_size=100), st.integers(0, 99))
def test_buckets_of_one_row_are_the_rows(values: list[float], first: int) -> None:
    drawn = points(summarize(np.array(values).reshape(-1, 1), first, 1)[:, 0])

    assert drawn.steps.tolist() == list(range(first, first + len(values)))
    np.testing.assert_array_equal(drawn.values, values)


@pytest.mark.parametrize("wrong", [63, 65])
def test_the_reference_notices_a_wrong_edge(wrong: int) -> None:
    values = [float(row % 64 == 63) for row in range(640)]

    right, other = (by_hand(values, 0, size) for size in (64, wrong))

    assert_same(summarize(np.array(values).reshape(-1, 1), 0, 64), 0, right)
    with pytest.raises(AssertionError):
        assert_same(summarize(np.array(values).reshape(-1, 1), 0, 64), 0, other)


@pytest.mark.parametrize("odd", [1e9, NAN, INFINITY, -INFINITY])
def test_one_non_finite_row_of_100_000_is_in_its_bucket(odd: float) -> None:
    for row in (0, 63, 64, 54_321, 99_999):
        values = np.zeros((100_000, 1))
        values[row] = odd

        bucket = coarser(summarize(values, 0, 64), 0, 16)[row // 1024, 0]

        assert row == (bucket["high_at"] if math.isfinite(odd) else bucket["odd_at"])
        assert bucket["low"] == 0
