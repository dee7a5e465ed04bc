"""Reading a series for a chart: the cache never changes the answer."""

import tracemalloc
import weakref
from random import Random

import numpy as np
import pytest
import redis

from api.metrics.charts.buckets import BUCKET, Buckets, bucket_size, summarize
from api.metrics.charts.cache import OVERHEAD_BYTES, BucketCache
from api.metrics.charts.reader import SeriesReader, View
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.record import Record
from store.jobs.series import Row
from store.jobs.views import Store
from store.redis import keys
from store.redis.functions import send
from tests.support.store.protocol import begin, record_of, release
from tests.support.store.series import WIDE, begun, odd_rows, put

pytestmark = pytest.mark.anyio


async def look(
    reader: SeriesReader, record: Record, first: int = 0, last: int | None = None, points: int = 100
) -> View:
    columns = record.series.columns
    return await reader.view(record, columns, first=first, last=last, max_points=points)


def assert_equal(one: Buckets, other: Buckets) -> None:
    assert len(one) == len(other)
    for name in one.dtype.names or ():
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("seed", range(5))
async def test_a_growing_series_gives_the_same_buckets_as_one_read(
    client: redis.Redis, store: Store, seed: int
) -> None:
    random = Random(seed)
    held, reader = begun(client), SeriesReader(store)
    rows: list[Row] = []

    for _ in range(20):
        more = odd_rows(len(rows), random.choice([1, 7, 63, 64, 65, 500, 4096]))
        put(client, held, more, first=len(rows))
        rows += more
        first = random.choice([0, 0, 1, 64, random.randrange(len(rows))])
        last = random.choice([None, len(rows) - 1, random.randrange(first, len(rows))])
        points = random.choice([2, 10, 100, 1000])

        view = await look(reader, record_of(client, held.job_id), first, last, points)

        stop = len(rows) if last is None else last + 1
        assert (view.first, view.stop) == (first, stop)
        assert view.size == bucket_size(first, stop, points)
        assert_equal(view.buckets, summarize(np.array(rows[first:stop]), first, view.size))


async def test_buckets_do_not_depend_on_the_blocks_that_are_read(
    client: redis.Redis, store: Store
) -> None:
    held, odd = begun(client), odd_rows(1, 150_000)
    put(client, held, odd)
    rows, record = np.array(odd), record_of(client, held.job_id)

    for first, points, size in ((7, 10_000, 32), (7, 1000, 512), (1, 10_000, 32)):
        view = await look(SeriesReader(store), record, first, None, points)

        assert view.size == size
        assert_equal(view.buckets, summarize(rows[first:], first, size))


async def test_a_full_bucket_stays_the_same_until_the_bucket_size_grows(
    client: redis.Redis, store: Store
) -> None:
    held, reader = begun(client), SeriesReader(store)
    before: View | None = None
    grew = 0

    for first in range(0, 20_000, 250):
        put(client, held, odd_rows(first, 250), first=first)
        view = await look(reader, record_of(client, held.job_id))
        if before is not None and before.size == view.size:
            full = before.stop // before.size
            assert_equal(before.buckets[:full], view.buckets[:full])
        elif before is not None:
            grew += 1
            assert view.size % before.size == 0
        before = view

    assert before is not None
    assert before.size == 512
    assert grew >= 6


async def test_truncated_rows_that_were_computed_again_are_not_served_from_the_cache(
    client: redis.Redis, store: Store
) -> None:
    held, reader = begun(client), SeriesReader(store)
    put(client, held, odd_rows(1, 10_000))
    old = record_of(client, held.job_id)
    await look(reader, old)
    again = restarted(client, held)
    put(client, again, odd_rows(2, 12_000))

    stale = await look(reader, old)  # as if it had been asked just before
    now = await look(reader, record_of(client, held.job_id))

    fresh = await look(SeriesReader(store), record_of(client, held.job_id))
    assert_equal(now.buckets, fresh.buckets)
    assert_equal(stale.buckets, fresh.buckets)


async def test_rows_truncated_during_the_read_are_not_in_the_chart(
    client: redis.Redis, store: Store
) -> None:
    held, reader = begun(client), SeriesReader(store)
    put(client, held, odd_rows(1, 10_000))
    old = record_of(client, held.job_id)
    await look(reader, old)
    restarted(client, held)

    view = await look(reader, old)

    assert (view.stop, view.record.rows, len(view.buckets)) == (0, 0, 0)


async def test_observed_columns_show_their_latest_values(client: redis.Redis, store: Store) -> None:
    held, reader = begun(client, series=WIDE), SeriesReader(store)
    rows = odd_rows(1, 10_000, width=3)
    put(client, held, rows, series=WIDE)
    send(client, calls.checkpointed(held, step=1000, path="p", sha256="s", digest="d"))
    await look(reader, record_of(client, held.job_id))
    release(client, held)
    await look(reader, record_of(client, held.job_id))
    again = begin(client, "again")

    for first in range(1000, 10_000, 1500):
        trained_anew = [(*row[:2], 1e6 + first) for row in rows[first : first + 1500]]
        put(client, again, trained_anew, first=first, series=WIDE)
        record = record_of(client, held.job_id)
        view, fresh = [await look(each, record) for each in (reader, SeriesReader(store))]
        assert_equal(view.buckets, fresh.buckets)

    assert view.buckets["high"][-1, 2] == 1e6 + 8500


async def test_observed_columns_after_a_refused_checkpoint_show_their_latest_values(
    client: redis.Redis, store: Store
) -> None:
    held, reader = begun(client, series=WIDE), SeriesReader(store)
    rows = odd_rows(1, 10_000, width=3)
    put(client, held, rows, series=WIDE)
    for step in (1000, 5000):
        send(client, calls.checkpointed(held, step=step, path=f"{step}", sha256="", digest=""))
    release(client, held)
    again = begin(client, "again")
    await look(reader, record_of(client, held.job_id))
    send(client, calls.refused(again, path="5000", why="damaged"))

    put(client, again, [(*row[:2], 1e6) for row in rows[1000:]], first=1000, series=WIDE)

    view = await look(reader, record_of(client, held.job_id))
    fresh = await look(SeriesReader(store), record_of(client, held.job_id))
    assert_equal(view.buckets, fresh.buckets)
    assert view.buckets["low"][20, 2] == 1e6


async def test_a_job_that_has_ended_is_not_read_again(client: redis.Redis, store: Store) -> None:
    held, odd = begun(client), odd_rows(1, 10_040)
    rows = np.array(odd)
    put(client, held, odd)
    send(client, calls.fail(held, reason="error", detail="x"))
    record, reader = record_of(client, held.job_id), SeriesReader(store)
    ranges = [(0, None, 100), (0, 10_039, 4), (640, 9000, 100), (9990, 10_000, 4), (9985, None, 2)]
    await look(reader, record)

    for first, last, points in ranges:
        view = await look(reader, record, first, last, points)
        assert_equal(view.buckets, summarize(rows[first : view.stop], first, view.size))

    for chunk in range(3):
        client.delete(keys.ROWS % (record.tenant, record.id, chunk))
    for first, last, points in ranges[:2]:
        view = await look(reader, record, first, last, points)
        assert_equal(view.buckets, summarize(rows, 0, view.size))


async def test_eviction_from_a_small_cache_does_not_change_the_answer(
    client: redis.Redis, store: Store
) -> None:
    cache = BucketCache(max_bytes=32_000)
    reader = SeriesReader(store, cache)
    jobs = []
    for seed in range(4):
        held = begun(client)
        put(client, held, odd_rows(seed, 10_000))
        jobs.append(record_of(client, held.job_id))

    for record in [*jobs, *jobs]:
        view = await look(reader, record)
        assert_equal(view.buckets, (await look(SeriesReader(store), record)).buckets)
        assert 0 < cache.num_bytes <= 32_000


def test_the_most_recently_used_jobs_stay_in_the_cache(client: redis.Redis) -> None:
    cache = BucketCache(max_bytes=2 * (OVERHEAD_BYTES + 10 * 2 * BUCKET.itemsize))
    one, other, third = [record_of(client, begun(client).job_id) for _ in range(3)]
    for record in (one, other):
        fill(cache, record)
    cache.of(one)

    fill(cache, third)

    assert [cache.of(record).rows for record in (one, other, third)] == [640, 0, 640]


async def test_a_job_without_buckets_takes_no_memory_in_the_cache(
    client: redis.Redis, store: Store
) -> None:
    cache = BucketCache()
    reader = SeriesReader(store, cache)
    held = begun(client)
    record = record_of(client, held.job_id)
    known = weakref.ref(cache.of(record))

    await look(reader, record)
    await look(reader, record, points=4)

    assert (cache.num_jobs, cache.num_bytes, known()) == (0, 0, None)


def test_jobs_of_few_rows_are_evicted_too(client: redis.Redis) -> None:
    cache = BucketCache(max_bytes=10 * OVERHEAD_BYTES)
    records = [record_of(client, begun(client).job_id) for _ in range(12)]

    for record in records:
        fill(cache, record, buckets=1)

    assert 0 < cache.num_jobs < 10
    assert cache.num_bytes == cache.num_jobs * (OVERHEAD_BYTES + 2 * BUCKET.itemsize)


def test_an_entry_takes_no_more_memory_than_is_counted(client: redis.Redis) -> None:
    cache, record, count = BucketCache(), record_of(client, begun(client).job_id), 1000
    records = [Record({**record.fields, "id": f"job_{i}"}) for i in range(count)]
    tracemalloc.start()

    for each in records:
        fill(cache, each, buckets=1)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert cache.num_jobs == count
    assert taken <= cache.num_bytes


def test_concurrent_requests_for_a_job_share_its_lock(client: redis.Redis) -> None:
    cache, record = BucketCache(), record_of(client, begun(client).job_id)

    one, other = cache.of(record), cache.of(record)

    assert one is other


async def test_a_very_long_job_is_cached_in_larger_buckets(
    client: redis.Redis, store: Store
) -> None:
    held = begun(client, training={"steps": 100_000_000, "device": "cpu"})
    put(client, held, odd_rows(1, 5000))
    record = record_of(client, held.job_id)

    cached = BucketCache().of(record)
    view = await look(SeriesReader(store), record, points=4)

    assert cached.size == 2048
    assert record.total_steps // cached.size < 2**16
    short = begun(client)
    put(client, short, odd_rows(1, 5000))
    same = await look(SeriesReader(store), record_of(client, short.job_id), points=4)
    assert_equal(view.buckets, same.buckets)


@pytest.mark.parametrize("max_points", [2, 3, 10, 2000])
def test_the_bucket_size_is_the_smallest_that_gives_few_enough_points(max_points: int) -> None:
    for first, stop in ((0, 0), (0, max_points), (5, max_points + 6), (63, 4097), (1, 10**8)):
        size = bucket_size(first, stop, max_points)

        buckets = -(-stop // size) - first // size
        assert buckets * (1 if size == 1 else 2) <= max_points
        if stop - first <= max_points:
            assert size == 1
        else:
            half = size // 2
            assert 2 * (-(-stop // half) - first // half) > max_points


def fill(cache: BucketCache, record: Record, buckets: int = 10) -> None:
    cached = cache.of(record)
    cached.extend(64 * buckets, [np.zeros((buckets, 2), BUCKET)])
    cache.put(cached)


def restarted(client: redis.Redis, held: Claim) -> Claim:
    """Let a job begin again at step 0."""
    send(client, calls.checkpointed(held, step=64, path="p", sha256="s", digest="d"))
    release(client, held)
    send(client, calls.restart(held.tenant, held.job_id))
    return begin(client, "again")
