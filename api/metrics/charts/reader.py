"""Reads a series for a chart: what is cached is not read again, and the rest in blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from api.metrics.charts.buckets import BUCKET, Buckets, coarser, summarize
from api.metrics.charts.cache import BucketCache, CachedBuckets
from store.jobs.record import Record
from store.jobs.views import Store

BLOCK = 2**16
"""Rows read at a time: 1 MB of two columns."""
INLINE_ROWS = 2**12
"""Rows summarized on the event loop; more would delay other requests, so a thread does it."""


class View(NamedTuple):
    """
    Part of a series, in buckets.

    Attributes:
        record: of the job, as it was when its rows were read.
        first: the first row.
        stop: the row after the last one; *first* if there is none.
        size: rows per bucket. Bucket i begins at row i * size.
        columns: their names.
        buckets: (buckets, columns).
    """

    record: Record
    first: int
    stop: int
    size: int
    columns: Sequence[str]
    buckets: Buckets


class SeriesReader:
    """Reads series in buckets, and caches them."""

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
        Return some columns of rows *first* to *last* of a job, in buckets.

        Args:
            record: of the job.
            columns: their names.
            first: the first row.
            last: the last row; None for the last one there is.
            max_points: buckets are so large that two points of each are not more.
            size: minimum of rows per bucket; a power of two.

        Raises:
            StoreUnavailable: rows were truncated again and again.
        """

        async def read(record: Record) -> View:
            stop = record.rows if last is None else min(last + 1, record.rows)
            stop = max(stop, first)
            fitting = max(size, bucket_size(first, stop, max_points))
            buckets = await self._buckets(record, columns, first, stop, fitting)
            # After the rows: they may have been truncated and stored anew while they were read.
            # What the cache has got of them goes with the next `renew`, which looks at all
            # truncations since *record*.
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
        """Bring *cached* up to date with *record*."""
        cached.renew(record)
        first, count = cached.rows, cached.missing(record)
        if count:
            # All columns, whichever this chart shows: the next one may show others.
            every = range(len(record.series.columns))
            more = await self._summarized(record, every, first, first + count, cached.size)
            cached.extend(count, more)

    async def _summarized(
        self, record: Record, chosen: Sequence[int], first: int, stop: int, size: int
    ) -> list[Buckets]:
        """Return the buckets of rows *first* to before *stop*, read in blocks."""
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


def bucket_size(first: int, stop: int, max_points: int) -> int:
    """
    Return the number of rows per bucket: 1 if every row can be a point, else a power of two.

    Args:
        first: the first row.
        stop: the row after the last.
        max_points: at least two.
    """
    size = 1
    if stop - first > max_points:
        while 2 * (-(-stop // size) - first // size) > max_points:
            size *= 2
    return size


def _joined(parts: list[Buckets], chosen: Sequence[int]) -> Buckets:
    return np.concatenate([np.empty((0, len(chosen)), BUCKET), *parts])
