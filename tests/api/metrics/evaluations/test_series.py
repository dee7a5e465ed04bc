"""The series of evaluations, made from any history in any pieces."""

from random import Random

import numpy as np
import pytest
import redis

from api.metrics.charts.buckets import Buckets, points, summarize
from api.metrics.evaluations.series import EvaluationSeries
from api.metrics.evaluations.sparse import fitting, merged, single
from tests.support.store.evaluations import odd_values, random_history, valid_after
from tests.support.store.protocol import record_of
from tests.support.store.series import begun

NAMES = ("val_loss", "val_accuracy")


def assert_equal(one: Buckets, other: Buckets) -> None:
    assert len(one) == len(other)
    for name in one.dtype.names or ():
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def expected(entries: list[bytes], name: str, size: int) -> Buckets:
    found = {s: m[name] for s, m in valid_after(entries).items() if name in m}
    return merged(single(list(found), list(found.values())), size)


@pytest.mark.parametrize("size", [1, 2, 8, 64, 4096])
def test_sparse_buckets_equal_those_of_rows_where_every_step_has_a_value(size: int) -> None:
    values = odd_values(1, 3000)

    found = merged(single(range(100, 3100), values), size)

    assert_equal(found, summarize(np.array(values)[:, np.newaxis], 100, size)[:, 0])


@pytest.mark.parametrize("max_points", [2, 3, 100, 999, 1000])
def test_a_curve_has_as_many_points_as_it_may_and_every_extreme(max_points: int) -> None:
    steps, values = [7 * i for i in range(1000)], odd_values(2, 1000)
    buckets = single(steps, values)

    size = fitting(buckets, 1, max_points)

    found = points(merged(buckets, size))
    assert len(found.steps) <= max_points
    assert size == 1 or 2 * len(merged(buckets, size // 2)) > max_points
    finite = [value for value in values if np.isfinite(value)]
    shown = [value for value in found.values if np.isfinite(value)]
    assert (min(shown), max(shown)) == (min(finite), max(finite))
    assert all(
        repr(values[step // 7]) == repr(float(value)) for step, value in zip(*found, strict=True)
    )


@pytest.mark.parametrize("max_buckets", [2**17, 200, 20])
@pytest.mark.parametrize("seed", range(4))
def test_a_series_does_not_depend_on_how_its_history_is_read(
    client: redis.Redis, seed: int, max_buckets: int
) -> None:
    random, entries = Random(seed), random_history(seed, 500)
    record = record_of(client, begun(client).job_id)
    series = EvaluationSeries(record, max_buckets=max_buckets, max_indexed=max_buckets)

    while series.read < len(entries):
        count = random.choice([1, 30, 150])
        series = series.extended(entries[series.read : series.read + count])
        if not series.is_complete and random.random() < 0.5:
            stop, series = series.read, series.emptied()
            series = series.extended(entries[:stop])
        if series.is_complete:
            for name in NAMES:
                wanted = expected(entries[: series.read], name, series.size)
                assert_equal(series.between(name, 0, 10**9), wanted)
    if not series.is_complete:
        series = series.emptied().extended(entries)

    assert series.is_complete
    for name in NAMES:
        assert_equal(series.between(name, 0, 10**9), expected(entries, name, series.size))
    steps = sorted(valid_after(entries))
    assert max(steps) <= series.last
    for step in random.sample(steps, min(20, len(steps))):
        after = entries[series.entry_before(step) :]
        assert {s for s in steps if s > step} <= valid_after(after).keys()


def test_a_bucket_of_several_steps_is_read_again_once_some_of_it_is_void(
    client: redis.Redis,
) -> None:
    record = record_of(client, begun(client).job_id)
    entries = [
        f'{{"at":1,"kind":"evaluated","data":{{"step":{i},"val_loss":{i}}}}}'.encode()
        for i in range(100)
    ]
    cut = b'{"at":1,"kind":"rows_cut","data":{"from":50,"count":50,"why":"restarted"}}'
    series = EvaluationSeries(record, max_buckets=10).extended(entries)
    assert (series.size, series.is_complete) == (16, True)

    series = series.extended([cut])

    assert not series.is_complete
    series = series.emptied().extended([*entries, cut])
    assert series.is_complete
    found = points(series.between("val_loss", 0, 100))
    assert found.values.tolist() == [0, 15, 16, 31, 32, 47, 48, 50]
