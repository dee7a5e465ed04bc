"""Reads evaluations; entries of a history that were read for one request are not read again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from api.metrics.charts.buckets import Buckets
from api.metrics.evaluations.series import EvaluationSeries, buckets_of
from api.metrics.evaluations.sparse import fitting, merged
from store.errors import JobNotFound
from store.jobs.evaluations import StoredEvaluation, evaluations_in
from store.jobs.record import Record
from store.jobs.views import Store

T = TypeVar("T")

BLOCK = 4096
"""Maximum number of entries read at a time, about 1 MB."""
INLINE_BYTES = 2**14
"""Maximum size of entries parsed on the event loop, some 100; a thread parses larger ones."""
INLINE_BUCKETS = 4096
"""Maximum number of buckets merged on the event loop; a thread merges more of them."""
MAX_EXACT = 2**15
"""Maximum number of steps read again from the history for a chart, because the cached buckets are
too coarse for it."""
MAX_BYTES = 64 * 2**20
"""Maximum size of the cache, in bytes."""


class View(NamedTuple):
    """
    Some evaluations of a metric, in buckets.

    Attributes:
        size: steps per bucket, a power of two.
        buckets: the buckets, of which none is empty.
    """

    size: int
    buckets: Buckets

    def coarser(self, size: int) -> View:
        """Return the same evaluations in buckets of at least *size* steps."""
        return self if size <= self.size else View(size, merged(self.buckets, size))


class _Cached:
    """
    The series of a job, as far as it was read.

    Attributes:
        series: the series.
        lock: lock that a request holds while it reads further entries.
    """

    def __init__(self, record: Record) -> None:
        self.series = EvaluationSeries(record)
        self.lock = asyncio.Lock()


class EvaluationReader:
    """
    Reads the evaluations of jobs, and caches the series of the most recently used jobs.

    Args:
        store: the store.
        max_bytes: maximum size of all cached series together, in bytes.
    """

    def __init__(self, store: Store, max_bytes: int = MAX_BYTES) -> None:
        self._store = store
        self._max_bytes = max_bytes
        # With the size that was counted: a series that is in use may grow meanwhile.
        self._entries: OrderedDict[str, tuple[_Cached, int]] = OrderedDict()
        self._num_bytes = 0
        # Concurrent requests for one job share its lock, even if its entry was dropped.
        self._in_use: WeakValueDictionary[str, _Cached] = WeakValueDictionary()

    async def names(self, record: Record) -> list[str]:
        """Return the names of all metrics that were measured, in the order of the history."""
        series = await self._series(record)
        return series.names

    async def page(
        self, record: Record, *, after: int, limit: int
    ) -> tuple[list[StoredEvaluation], bool]:
        """
        Return a page of a job's valid evaluations, and whether more evaluations follow.

        Args:
            record: the record of the job.
            after: a number of steps. Only evaluations made after more steps than this are returned.
            limit: maximum number of evaluations.
        """
        series = await self._series(record)
        found: list[StoredEvaluation] = []
        async for each in self._from(record, series, after):
            if len(found) == limit:
                return found, True
            found.append(each)
        return found, False

    async def views(
        self,
        record: Record,
        names: Sequence[str],
        *,
        first: int,
        last: int | None,
        max_points: int,
    ) -> dict[str, View]:
        """
        Return name of a metric -> the job's evaluations in a range of steps, in buckets.

        Args:
            record: the record of the job.
            names: the names of the metrics.
            first: minimum number of steps made before an evaluation.
            last: maximum number of steps made before an evaluation; None for all.
            max_points: maximum number of points per metric.
        """
        series = await self._series(record)
        last = series.last if last is None else min(last, series.last)
        size, found = await self._range(record, series, names, first, last)
        views = {}
        for name, buckets in found.items():
            reduced = partial(_reduced, size, buckets, max_points)
            views[name] = await _computed(len(buckets), INLINE_BUCKETS, reduced)
        return views

    async def _range(
        self, record: Record, series: EvaluationSeries, names: Sequence[str], first: int, last: int
    ) -> tuple[int, Mapping[str, Buckets]]:
        """
        Return the number of steps per bucket, and the buckets of each of the metrics *names*.

        The buckets contain the evaluations made after at least *first* and at most *last* steps.
        """
        size = series.size
        if size == 1:
            return 1, {name: series.between(name, first, last) for name in names}
        # Whole buckets; the last of the series counts as one.
        begin = -(-first // size) * size
        end = last + 1 if last == series.last else (last + 1) // size * size
        if last + 1 - first <= MAX_EXACT or begin >= end:
            return 1, await self._exact(record, series, names, first, last)
        head = await self._exact(record, series, names, first, begin - 1)
        tail = await self._exact(record, series, names, end, last)
        whole = {name: series.between(name, begin, end - 1) for name in names}
        return size, {
            name: merged(np.concatenate([head[name], whole[name], tail[name]]), size)
            for name in names
        }

    async def _exact(
        self, record: Record, series: EvaluationSeries, names: Sequence[str], first: int, last: int
    ) -> Mapping[str, Buckets]:
        """
        Return, for each of the metrics *names*, one bucket per evaluation, read from the history.

        The evaluations are those made after at least *first* and at most *last* steps.
        """
        found: list[StoredEvaluation] = []
        if first <= last:
            async for each in self._from(record, series, first - 1):
                if each.step > last:
                    break
                found.append(each)
        return buckets_of(found, names)

    async def _from(
        self, record: Record, series: EvaluationSeries, step: int
    ) -> AsyncIterator[StoredEvaluation]:
        """Yield the valid evaluations made after more than *step* steps, read from the history."""
        number, stop = series.entry_before(step), series.read
        while number < stop:
            entries = await self._store.entries(
                record, after=number, limit=min(BLOCK, stop - number)
            )
            if not entries:
                return
            parsed = partial(_parsed, entries, number + 1, series.former, step)
            for each in await _computed(_num_bytes(entries), INLINE_BYTES, parsed):
                if series.valid(each):
                    yield each
            number += len(entries)

    async def _series(self, record: Record) -> EvaluationSeries:
        """Return the series of a job, with all entries that its history has now."""
        cached = self._in_use.get(record.id)
        if cached is None:
            cached = self._in_use[record.id] = _Cached(record)
        newest = int(record.fields["rev"])
        async with cached.lock:
            if cached.series.read < newest or not cached.series.is_complete:
                await self._extend(cached, record, newest)
                self._put(record.id, cached)
            elif record.id in self._entries:
                self._entries.move_to_end(record.id)
        return cached.series

    async def _extend(self, cached: _Cached, record: Record, newest: int) -> None:
        """
        Read further entries of a history into the series *cached*.

        At least the entries up to number *newest* are read; later entries may be read, too.
        """
        while cached.series.read < newest or not cached.series.is_complete:
            series = cached.series
            if series.read >= newest:
                # All entries were read, but some evaluations in a bucket are void: only the entries
                # still have the values of the others.
                cached.series = series.emptied()
                continue
            entries = await self._store.entries(record, after=series.read, limit=BLOCK)
            if not entries:
                # The record counts more entries, so the job was removed after it was read.
                raise JobNotFound(record.id)
            extended = partial(series.extended, entries)
            cached.series = await _computed(_num_bytes(entries), INLINE_BYTES, extended)

    def _put(self, job_id: str, cached: _Cached) -> None:
        """Cache a series; while the cache is too large, drop the least recently used series."""
        self._drop(job_id)
        self._entries[job_id] = cached, cached.series.num_bytes
        self._num_bytes += cached.series.num_bytes
        while self._num_bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, job_id: str) -> None:
        if job_id in self._entries:
            self._num_bytes -= self._entries.pop(job_id)[1]


def _parsed(
    entries: Sequence[bytes], first: int, former: Mapping[str, str], step: int
) -> list[StoredEvaluation]:
    """Return the evaluations among *entries* that were made after more than *step* steps."""
    return [
        each
        for each in evaluations_in(entries, first, former)
        if isinstance(each, StoredEvaluation) and each.step > step
    ]


def _num_bytes(entries: Sequence[bytes]) -> int:
    return sum(map(len, entries))


def _reduced(size: int, buckets: Buckets, max_points: int) -> View:
    """Return *buckets*, of *size* steps each, as a curve of at most *max_points* points."""
    return View(size, buckets).coarser(fitting(buckets, size, max_points))


async def _computed(amount: int, inline: int, compute: Callable[[], T]) -> T:
    """Return ``compute()``, which runs in a thread if *amount* is larger than *inline*."""
    return compute() if amount <= inline else await asyncio.to_thread(compute)
