"""The series of a job's evaluations, made from the entries of its history."""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np

from api.metrics.charts.buckets import BUCKET, Buckets
from api.metrics.evaluations.sparse import first_steps, merged, single
from store.jobs.evaluations import StoredEvaluation, StoredTruncation, evaluations_in, names_in
from store.jobs.record import Record

MAX_BUCKETS = 2**17
"""Maximum number of buckets per job, of all metrics together: 8 MB."""
MAX_INDEXED = 2**16
"""Maximum number of evaluations per job whose entries in the history are known: 2 to 4 MB."""
OVERHEAD_BYTES = 4096
"""Bytes that an entry takes besides its buckets and its index."""
INDEXED_BYTES = 72
"""Bytes that an evaluation takes in the index: two numbers, each in a list."""
NOT_FIRST = 2**63 - 1
"""A step that no run reaches."""
_Pending = dict[str, tuple[list[int], list[float]]]
"""Steps and values, by the name of the metric, that are not in buckets yet."""


class _Void(NamedTuple):
    """
    States which evaluations before an entry of the history are not valid.

    They were truncated, or a resumed run made them again.

    Attributes:
        number: the number of the entry.
        step: a number of steps. Evaluations in earlier entries are not valid if they were made
            after this number of steps or more.
    """

    number: int
    step: int


class EvaluationSeries:
    """
    The valid evaluations of a job, as buckets of each metric.

    Truncated evaluations are not valid (void). When a resumed run evaluates again after n steps,
    all evaluations in earlier entries that were made after n or more steps become void.

    A series does not change; `extended` returns a longer one.

    In a short job, every value of a metric has a bucket of its own. If there are more than
    *max_buckets* values, those of neighboring steps share buckets, and every extreme is kept.

    Args:
        record: the record of the job.
        max_buckets: maximum number of buckets, of all metrics together.
        max_indexed: maximum number of evaluations in the index.

    Attributes:
        job_id: id of the job.
        read: number of entries of the history that were read.
        size: steps per bucket, a power of two.
        former: names of metrics in entries of release 0.2.0 -> present names; see `names_in`.
        last: the number of steps made before the last evaluation; -1 if there is no evaluation.
    """

    def __init__(
        self, record: Record, *, max_buckets: int = MAX_BUCKETS, max_indexed: int = MAX_INDEXED
    ) -> None:
        self.job_id = record.id
        self.read = 0
        self.size = 1
        self._max_buckets, self._max_indexed = max_buckets, max_indexed
        self.former = names_in(record)
        self._buckets: dict[str, Buckets] = {}
        self.last = -1
        # Every n-th evaluation, by step and by the number of its entry.
        self._steps, self._numbers = list[int](), list[int]()
        self._stride, self._skip = 1, 0
        # Ascending in number and in step: one that a later one includes is left out.
        self._voids: list[_Void] = []
        self._known = 0
        self._stale = False

    @property
    def num_bytes(self) -> int:
        """Memory that the series takes, in bytes."""
        buckets = sum(each.nbytes for each in self._buckets.values())
        return OVERHEAD_BYTES + buckets + INDEXED_BYTES * len(self._steps)

    @property
    def names(self) -> list[str]:
        """Names of all metrics that were measured, in the order of their first values."""
        return list(self._buckets)

    def between(self, name: str, first: int, last: int) -> Buckets:
        """Return the buckets of a metric that begin in the steps from *first* to *last*."""
        buckets = self._buckets.get(name, np.empty(0, BUCKET))
        begin, end = np.searchsorted(first_steps(buckets), [first, last + 1])
        return buckets[begin:end]

    def entry_before(self, step: int) -> int:
        """
        Return the number of the entry after which to begin reading.

        Later entries contain all valid evaluations made after more than *step* steps.
        """
        at = bisect_right(self._steps, step)
        return self._numbers[at - 1] if at else 0

    def valid(self, evaluation: StoredEvaluation) -> bool:
        """Return whether *evaluation* is valid; its entry in the history must have been read."""
        return evaluation.step < self._limit(evaluation.number)

    def extended(self, entries: Sequence[bytes]) -> Self:
        """Return the series extended by the next entries of the history."""
        found = copy.copy(self)
        found._buckets = dict(self._buckets)  # its arrays are replaced, never changed
        found._steps, found._numbers = [*self._steps], [*self._numbers]
        found._voids = [*self._voids]
        found._extend(entries)
        return found

    @property
    def is_complete(self) -> bool:
        """
        Whether the series has all valid evaluations of the entries that were read.

        It lacks some once evaluations in a bucket have become void, but not all of them. The caller
        must then call `emptied`, and extend the result by all entries again.
        """
        return not self._stale

    def emptied(self) -> Self:
        """
        Return the series without its evaluations, to be extended by all entries again.

        The result still knows which evaluations are void, and leaves these out.
        """
        found = copy.copy(self)
        found._buckets = {name: buckets[:0] for name, buckets in self._buckets.items()}
        found._steps, found._numbers = [], []
        found._skip, found.last, found.read, found._stale = 0, -1, 0, False
        return found

    def _extend(self, entries: Sequence[bytes]) -> None:
        pending: _Pending = {}
        for each in evaluations_in(entries, self.read + 1, self.former):
            if isinstance(each, StoredTruncation):
                # The evaluation after that step depends only on rows before it, and is valid.
                self._void(each.number, each.step + 1, pending)
            elif self.valid(each):
                if each.step <= self.last:  # evaluated again by a resumed run
                    self._void(each.number, each.step, pending)
                self._add(each, pending)
        self._flush(pending)
        self.read += len(entries)

    def _add(self, evaluation: StoredEvaluation, pending: _Pending) -> None:
        self.last = evaluation.step
        for name, value in evaluation.metrics.items():
            steps, values = pending.setdefault(name, ([], []))
            steps.append(evaluation.step)
            values.append(value)
        if self._skip:
            self._skip -= 1
            return
        self._steps.append(evaluation.step)
        self._numbers.append(evaluation.number)
        if len(self._steps) > self._max_indexed:
            self._stride *= 2
            self._steps, self._numbers = self._steps[::2], self._numbers[::2]
        self._skip = self._stride - 1

    def _void(self, number: int, step: int, pending: _Pending) -> None:
        """Drop the evaluations at *step* or later whose entries come before entry *number*."""
        if number <= self._known:
            return  # the evaluations have not been added again
        self._known = number
        while self._voids and self._voids[-1].step >= step:
            self._voids.pop()
        self._voids.append(_Void(number, step))
        self._flush(pending)
        if self.last < step:
            return
        self.last = step - 1
        for name, buckets in self._buckets.items():
            steps = first_steps(buckets)
            self._buckets[name] = buckets[: np.searchsorted(steps, step)]
            # Of the bucket with the step, only some of the evaluations are void.
            whole = step % self.size == 0
            self._stale |= not whole and bool((steps // self.size == step // self.size).any())
        at = bisect_left(self._steps, step)
        del self._steps[at:], self._numbers[at:]
        self._skip = 0

    def _limit(self, number: int) -> int:
        """Return the smallest number of steps for which an evaluation in entry *number* is void."""
        at = bisect_right(self._voids, number, key=lambda void: void.number)
        return self._voids[at].step if at < len(self._voids) else NOT_FIRST

    def _flush(self, pending: _Pending) -> None:
        for name, (steps, values) in pending.items():
            more = single(steps, values)
            before = self._buckets.get(name, more[:0])
            found = np.concatenate([before, more])
            self._buckets[name] = merged(found, self.size) if self.size > 1 else found
        pending.clear()
        while sum(map(len, self._buckets.values())) > self._max_buckets:
            self.size *= 2
            self._buckets = {name: merged(b, self.size) for name, b in self._buckets.items()}


def buckets_of(
    evaluations: Sequence[StoredEvaluation], names: Sequence[str]
) -> Mapping[str, Buckets]:
    """
    Return the buckets of each metric in *names*, with one bucket for each value.

    *evaluations* must ascend by step.
    """
    return {
        name: single(
            [each.step for each in evaluations if name in each.metrics],
            [each.metrics[name] for each in evaluations if name in each.metrics],
        )
        for name in names
    }
