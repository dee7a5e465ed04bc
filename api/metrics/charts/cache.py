"""The cache of buckets: rows that were read for a chart are not read again for the next one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from api.metrics.charts.buckets import BUCKET, Buckets
from optserve.contract.states import State
from store.jobs.record import Record

FINEST = 64
"""Minimum number of rows per cached bucket."""
MAX_BUCKETS = 2**16
"""Maximum number of buckets per column of a job; longer jobs have larger buckets."""
MAX_BYTES = 64 * 2**20
"""Maximum size of the cache, in bytes."""
OVERHEAD_BYTES = 1024
"""Bytes that an entry takes besides its buckets: 680 were measured, rounded up."""


class CachedBuckets:
    """
    The buckets of a job's settled rows (see `settled`), from row 0.

    Attributes:
        job_id: id of the job.
        size: rows per bucket, a power of two.
        rows: number of rows in the buckets. All buckets are full, except the last one of a job that
            has ended.
        buckets: array of shape (buckets, columns).
        lock: lock that is held while the buckets are read or extended.
    """

    def __init__(self, record: Record) -> None:
        self.job_id = record.id
        self.size = FINEST
        # Chosen by the planned length, which does not change: buckets need never be merged later.
        while record.total_steps > self.size * MAX_BUCKETS:
            self.size *= 2
        self._columns = len(record.series.columns)
        self.lock = asyncio.Lock()
        self._truncations = len(record.truncations)
        self._replayed = replayed(record)
        self.rows = 0
        self.buckets: Buckets = np.empty((0, self._columns), BUCKET)

    @property
    def num_bytes(self) -> int:
        """Memory that the entry takes, in bytes."""
        return OVERHEAD_BYTES + self.buckets.nbytes

    def renew(self, record: Record) -> None:
        """
        Drop the buckets of rows that have changed since the last call.

        *record* tells which rows were truncated, and which may have been overwritten.
        """
        truncations = record.truncations
        self._truncate(min([self.rows, *truncations[self._truncations :]]))
        # A concurrent request may have passed an older record.
        self._truncations = max(self._truncations, len(truncations))
        if replayed(record) != self._replayed:
            self._replayed = replayed(record)
            # Computed columns are the same bit for bit, or the job fails (`replay_differs`). Only
            # observed columns, such as speed and memory, can have changed.
            if record.series.num_computed < self._columns:
                self._truncate(0)

    def missing(self, record: Record) -> int:
        """Return the number of further rows of the job that can be cached."""
        rows = settled(record)
        if not record.state.final:  # a bucket that is not full yet would change
            rows -= rows % self.size
        return max(rows - self.rows, 0)

    def extend(self, rows: int, more: list[Buckets]) -> None:
        """Append the buckets *more*, which summarize the next *rows* rows."""
        self.buckets = np.concatenate([self.buckets, *more])
        self.rows += rows

    def whole(self, first: int, stop: int) -> tuple[int, int]:
        """Return the range of rows, within *first* to *stop*, that whole cached buckets cover."""
        begin = min(-(-first // self.size) * self.size, stop)
        # The last bucket of an ended job may have fewer rows, and is complete nevertheless.
        end = self.rows if stop >= self.rows else stop // self.size * self.size
        return begin, max(begin, end)

    def between(self, begin: int, end: int) -> Buckets:
        """Return the buckets of rows *begin* to *end*, a range from `whole`."""
        # An empty range may lie within a bucket, which must not be returned.
        return self.buckets[begin // self.size : -(-end // self.size) if begin < end else 0]

    def _truncate(self, rows: int) -> None:
        if rows < self.rows:
            self.rows = rows - rows % self.size
            self.buckets = self.buckets[: self.rows // self.size].copy()  # a view keeps it all


class _Entry(NamedTuple):
    cached: CachedBuckets
    num_bytes: int


class BucketCache:
    """
    The buckets of the most recently used jobs, within a limit of bytes.

    Concurrent requests for the same job share one `CachedBuckets` and its lock. That holds even if
    the `CachedBuckets` is not in the cache, because it has no buckets yet or was evicted. It then
    exists as long as a request refers to it.

    Args:
        max_bytes: maximum size of all entries together, in bytes.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._in_use: WeakValueDictionary[str, CachedBuckets] = WeakValueDictionary()

    def of(self, record: Record) -> CachedBuckets:
        """Return the cached buckets of a job, which may still be empty."""
        cached = self._in_use.get(record.id)
        if cached is None:
            cached = self._in_use[record.id] = CachedBuckets(record)
        if record.id in self._entries:
            self._entries.move_to_end(record.id)
        return cached

    def put(self, cached: CachedBuckets) -> None:
        """
        Store *cached*, which `of` has returned.

        While all entries together are too large, the least recently used job is evicted.
        """
        self._drop(cached.job_id)
        if cached.rows:
            # The entry keeps the size that is added here: otherwise buckets that are appended later
            # would be subtracted when the entry is dropped, without having been added.
            self._entries[cached.job_id] = _Entry(cached, cached.num_bytes)
            self._num_bytes += cached.num_bytes
        while self._num_bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    @property
    def num_bytes(self) -> int:
        """Memory that all entries take, in bytes."""
        return self._num_bytes

    @property
    def num_jobs(self) -> int:
        """Number of entries."""
        return len(self._entries)

    def _drop(self, job_id: str) -> None:
        if job_id in self._entries:
            self._num_bytes -= self._entries.pop(job_id).num_bytes


def settled(record: Record) -> int:
    """
    Return the number of settled rows of a job: those that can change only by truncation.

    A resumed run computes the steps after its checkpoint again. If the job has columns that are
    only observed (speed, memory), these columns are overwritten. The rows of these steps are
    settled once they have been overwritten.
    """
    if record.series.num_computed == len(record.series.columns):
        return record.rows
    replay_at, replay_end = (int(record.fields.get(f"replay_{end}", 0)) for end in ("at", "end"))
    replaying = record.state is State.RUNNING and replay_at < replay_end
    return min(replay_at, record.rows) if replaying else record.rows


def replayed(record: Record) -> tuple[int, str]:
    """Return a value that changes when rows of the job may have been computed again."""
    return record.attempt, record.fields.get("claim_checkpoint", "")
