"""Reads series for charts, in blocks; rows whose buckets are cached are not read again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from api.metrics.charts.buckets import BUCKET, Buckets, bucket_size, coarser, summarize
from api.metrics.charts.cache import BucketCache, CachedBuckets
from store.jobs.record import Record
from store.jobs.views import Store

BLOCK = 2**16
"""Rows read at a time: 1 MB of two columns."""
INLINE_ROWS = 2**12
"""Maximum number of rows summarized on the event loop. More rows would delay other requests, so a
thread summarizes them."""


class View(NamedTuple):
    """
    Part of a series, in buckets.

    Attributes:
        record: the record of the job at the time when the rows were read.
        first: the first row.
        stop: the row after the last row; *first* if there are no rows.
        size: rows per bucket. Bucket i begins at row i * size.
        columns: the names of the columns.
        buckets: array of shape (buckets, columns).
    """

    record: Record
    first: int
    stop: int
    size: int
    columns: Sequence[str]
    buckets: Buckets


class SeriesReader:
    """Summarizes the rows of series in buckets, and caches the buckets."""

    def __init__(self, store: Store, cache: BucketCache | None = None) -> None:
        self._store = store
        self._cache = cache or BucketCache()

    async def view(
        self,
        record: Record,
        columns: Sequence[str],
        *,
        first: int,
        last: int | None,
        max_points: int,
        size: int = 1,
    ) -> View:
        """
        Return some columns of the rows *first* to *last* of a job, in buckets.

        Args:
            record: the record of the job.
            columns: the names of the columns.
            first: the first row.
            last: the last row; None for the last row that is stored.
            max_points: maximum number of points per column. It determines the size of the buckets,
                since a bucket has two points.
            size: minimum number of rows per bucket; a power of two.

        Raises:
            StoreUnavailable: rows were truncated during every attempt to read them.
        """

        async def read(record: Record) -> View:
            stop = record.rows if last is None else min(last + 1, record.rows)
            stop = max(stop, first)
            fitting = max(size, bucket_size(first, stop, max_points))
            buckets = await self._buckets(record, columns, first, stop, fitting)
            # Checked after the read: rows may have been truncated and stored anew meanwhile. If so,
            # the next `renew` drops them from the cache, since it checks all truncations since
            # *record*.
            await self._store.require_untruncated(record)
            return View(record, first, stop, fitting, columns, buckets)

        return await self._store.untruncated(record, read)

    async def _buckets(
        self, record: Record, columns: Sequence[str], first: int, stop: int, size: int
    ) -> Buckets:
        chosen = [record.series.columns.index(name) for name in columns]
        cached = self._cache.of(record)
        if size < cached.size:  # the cached buckets are too coarse for this range
            return _joined(await self._summarized(record, chosen, first, stop, size), chosen)
        async with cached.lock:
            await self._extend(cached, record)
            begin, end = cached.whole(first, stop)
            whole = cached.between(begin, end)[:, chosen]
        self._cache.put(cached)
        head = await self._summarized(record, chosen, first, begin, cached.size)
        tail = await self._summarized(record, chosen, end, stop, cached.size)
        found = _joined([*head, whole, *tail], chosen)
        return coarser(found, first // cached.size, size // cached.size)

    async def _extend(self, cached: CachedBuckets, record: Record) -> None:
        """Bring *cached* up to date with *record*: drop invalid buckets, and add new ones."""
        cached.renew(record)
        first, count = cached.rows, cached.missing(record)
        if count:
            # All columns, whichever this chart shows: the next chart may show others.
            every = range(len(record.series.columns))
            more = await self._summarized(record, every, first, first + count, cached.size)
            cached.extend(count, more)

    async def _summarized(
        self, record: Record, chosen: Sequence[int], first: int, stop: int, size: int
    ) -> list[Buckets]:
        """Return the buckets of the rows from *first* up to but not including *stop*."""
        found = []
        while first < stop:
            # Blocks end at multiples of BLOCK. Each is a row group of an archive and whole chunks
            # of the store; and since *size* is a power of two below it, no bucket is split between
            # two blocks.
            count = min((first // BLOCK + 1) * BLOCK, stop) - first
            data = await self._store.data(record, first=first, count=count)
            values = np.frombuffer(data, "<f8").reshape(count, -1)[:, chosen]
            if count <= INLINE_ROWS:
                found.append(summarize(values, first, size))
            else:
                found.append(await asyncio.to_thread(summarize, values, first, size))
            first += count
        return found


def _joined(parts: list[Buckets], chosen: Sequence[int]) -> Buckets:
    return np.concatenate([np.empty((0, len(chosen)), BUCKET), *parts])
