"""What this process keeps of a job's rows, so that nobody reads them twice."""

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
"""Rows of a kept bucket."""
MAX_BUCKETS = 2**16
"""Of a whole job, per column; those of a longer one are larger."""
MAX_BYTES = 64 * 2**20
"""Of all that is kept."""
OVERHEAD_BYTES = 1024
"""What an entry takes besides its buckets, rounded up: 680 were measured."""


class KeptBuckets:
    """
    The buckets of a job, as far as its rows are settled and fill them.

    Attributes:
        job_id: of the job.
        size: rows of a bucket, a power of two.
        rows: how many rows are in the buckets; they fill them, but for the last of a job's end.
        buckets: (buckets, columns), the first one from row 0.
        lock: whoever reads or extends has it.
    """

    def __init__(self, record: Record) -> None:
        self.job_id = record.id
        self.size = FINEST
        while record.total_steps > self.size * MAX_BUCKETS:
            self.size *= 2
        self._columns = len(record.series.columns)
        self.lock = asyncio.Lock()
        self._cuts = len(record.truncations)
        self._replayed = replayed(record)
        self.rows = 0
        self.buckets: Buckets = np.empty((0, self._columns), BUCKET)

    @property
    def num_bytes(self) -> int:
        """What they take, and what holds them."""
        return OVERHEAD_BYTES + self.buckets.nbytes

    def renew(self, record: Record) -> None:
        """Forget the rows that are, as *record* says, no longer what they were."""
        cuts = record.truncations
        self._keep(min([self.rows, *cuts[self._cuts :]]))
        self._cuts = max(self._cuts, len(cuts))
        if replayed(record) != self._replayed:
            self._replayed = replayed(record)
            if record.series.num_computed < self._columns:
                self._keep(0)

    def missing(self, record: Record) -> int:
        """Return how many of the next rows could be kept."""
        rows = settled(record)
        if not record.state.final:
            rows -= rows % self.size
        return max(rows - self.rows, 0)

    def extend(self, rows: int, more: list[Buckets]) -> None:
        """Add *more* buckets, of so many *rows*, behind those there are."""
        self.buckets = np.concatenate([self.buckets, *more])
        self.rows += rows

    def whole(self, first: int, stop: int) -> tuple[int, int]:
        """Return the first row, and that after the last, of the buckets within a range of rows."""
        begin = min(-(-first // self.size) * self.size, stop)
        end = self.rows if stop >= self.rows else stop // self.size * self.size
        return begin, max(begin, end)

    def between(self, begin: int, end: int) -> Buckets:
        """Return the buckets of the rows that `whole` has told."""
        return self.buckets[begin // self.size : -(-end // self.size) if begin < end else 0]

    def _keep(self, rows: int) -> None:
        if rows < self.rows:
            self.rows = rows - rows % self.size
            self.buckets = self.buckets[: self.rows // self.size].copy()


class _Counted(NamedTuple):
    kept: KeptBuckets
    num_bytes: int


class Cache:
    """
    What is kept of the jobs that were looked at last, within so many bytes.

    Those who look at a job at once share what is kept, and its lock, also while that is nothing;
    then it goes with the last of them.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._counted: OrderedDict[str, _Counted] = OrderedDict()
        self._looked_at: WeakValueDictionary[str, KeptBuckets] = WeakValueDictionary()

    def of(self, record: Record) -> KeptBuckets:
        """Return what is kept of a job, which may be nothing yet."""
        kept = self._looked_at.get(record.id)
        if kept is None:
            kept = self._looked_at[record.id] = KeptBuckets(record)
        if record.id in self._counted:
            self._counted.move_to_end(record.id)
        return kept

    def keep(self, kept: KeptBuckets) -> None:
        """Keep what `of` has returned, as large as it is by now, and let go of what has no room."""
        self._drop(kept.job_id)
        if kept.rows:
            self._counted[kept.job_id] = _Counted(kept, kept.num_bytes)
            self._num_bytes += kept.num_bytes
        while self._num_bytes > self._max_bytes:
            self._drop(next(iter(self._counted)))

    @property
    def num_bytes(self) -> int:
        """What is kept of all jobs together."""
        return self._num_bytes

    @property
    def num_jobs(self) -> int:
        """How many jobs something is kept of."""
        return len(self._counted)

    def _drop(self, job_id: str) -> None:
        if job_id in self._counted:
            self._num_bytes -= self._counted.pop(job_id).num_bytes


def settled(record: Record) -> int:
    """
    Return how many rows of a job can change no more, unless they are cut.

    While a resumed run makes its way through rows that are there already, what was only observed in
    them (speed, memory) is written anew.
    """
    if record.series.num_computed == len(record.series.columns):
        return record.rows
    replay_at, replay_end = (int(record.fields.get(f"replay_{word}", 0)) for word in ("at", "end"))
    replaying = record.state is State.RUNNING and replay_at < replay_end
    return min(replay_at, record.rows) if replaying else record.rows


def replayed(record: Record) -> tuple[int, str]:
    """Return what differs once rows may have been trained again: the attempt, and its beginning."""
    return record.attempt, record.fields.get("claim_checkpoint", "")
