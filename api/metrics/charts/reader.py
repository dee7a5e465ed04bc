"""Reading a series for a chart: in stretches, and only what is not known yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from api.metrics.charts.buckets import BUCKET, Buckets, coarser, summarize
from api.metrics.charts.cache import Cache, KeptBuckets
from store.errors import StoreUnavailable
from store.jobs.record import Record
from store.jobs.views import Store

STRETCH = 2**16
"""Rows read at a time: 1 MB of two columns."""
QUICK = 2**12
"""Rows that are summarized at once; more of them would hold up other requests."""
TRIES = 5
"""How often a series is read again whose rows are cut meanwhile."""


class View(NamedTuple):
    """
    Part of a series, in buckets.

    Attributes:
        record: of the job, as it was when its rows were read.
        first: the first row.
        stop: the row after the last one; *first* if there is none.
        size: rows of a bucket. Bucket i has the rows from i * size on.
        columns: their names.
        buckets: (buckets, columns).
    """

    record: Record
    first: int
    stop: int
    size: int
    columns: Sequence[str]
    buckets: Buckets


class _RowsCut(Exception):
    """The store had less rows than the record said: they were cut meanwhile."""


class SeriesReader:
    """Reads series, and keeps what it has read in buckets."""

    def __init__(self, store: Store, cache: Cache | None = None) -> None:
        self._store = store
        self._cache = cache or Cache()

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
            max_points: buckets are so large that two points for each are not more.
            size: rows of a bucket at least; a power of two.

        Raises:
            StoreUnavailable: rows are cut again and again.
        """
        for _ in range(TRIES):
            stop = record.rows if last is None else min(last + 1, record.rows)
            stop = max(stop, first)
            fitting = max(size, bucket_size(first, stop, max_points))
            try:
                buckets = await self._buckets(record, columns, first, stop, fitting)
            except _RowsCut:
                buckets = None
            now = await self._store.progress(record.tenant, record.id)
            if buckets is not None and now.cuts == record.truncations:
                return View(record, first, stop, fitting, columns, buckets)
            record = await self._store.record(record.tenant, record.id)
        raise StoreUnavailable(f"rows of job {record.id} are being cut; try again")

    async def _buckets(
        self, record: Record, columns: Sequence[str], first: int, stop: int, size: int
    ) -> Buckets:
        chosen = [record.series.columns.index(name) for name in columns]
        kept = self._cache.of(record)
        if size < kept.size:
            return _joined(await self._summarized(record, chosen, first, stop, size), chosen)
        async with kept.lock:
            await self._extend(kept, record)
            begin, end = kept.whole(first, stop)
            whole = kept.between(begin, end)[:, chosen]
        self._cache.keep(kept)
        head = await self._summarized(record, chosen, first, begin, kept.size)
        tail = await self._summarized(record, chosen, end, stop, kept.size)
        found = _joined([*head, whole, *tail], chosen)
        return coarser(found, first // kept.size, size // kept.size)

    async def _extend(self, kept: KeptBuckets, record: Record) -> None:
        """Make *kept* what it can be for *record*."""
        kept.renew(record)
        first, count = kept.rows, kept.missing(record)
        if count:
            every = range(len(record.series.columns))
            more = await self._summarized(record, every, first, first + count, kept.size)
            kept.extend(count, more)

    async def _summarized(
        self, record: Record, chosen: Sequence[int], first: int, stop: int, size: int
    ) -> list[Buckets]:
        """Return the buckets of rows *first* to before *stop*, read in stretches."""
        found = []
        while first < stop:
            count = min((first // STRETCH + 1) * STRETCH, stop) - first
            data = await self._store.data(record, first=first, count=count)
            if len(data) < count * record.series.width:
                raise _RowsCut
            values = np.frombuffer(data, "<f8").reshape(count, -1)[:, chosen]
            if count <= QUICK:
                found.append(summarize(values, first, size))
            else:
                found.append(await asyncio.to_thread(summarize, values, first, size))
            first += count
        return found


def bucket_size(first: int, stop: int, max_points: int) -> int:
    """
    Return how many rows a bucket has: 1 if there is a point for each, else a power of two.

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
