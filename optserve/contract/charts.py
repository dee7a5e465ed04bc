"""What the service answers with to who wants to see a series, not to have it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from optserve.contract.states import State
from optserve.contract.wire import Wire

FEWEST_POINTS, MOST_POINTS = 2, 10_000
MOST_JOBS = 32
"""Jobs compared in one call."""


class Along(StrEnum):
    """What jobs are compared by."""

    STEP = "step"
    EXAMPLES = "examples"
    """Seen by the end of the step, those of earlier epochs counted again."""
    SECONDS = "seconds"
    """For which the job had been trained by the end of the step, all attempts together."""


class NotFinite(Wire):
    """The buckets in which values are NaN or infinite; one entry of each list per such bucket."""

    steps: list[int]
    """The first such step of the bucket."""
    nan: list[int]
    """How many values are NaN."""
    infinity: list[int]
    """How many are Infinity."""
    minus_infinity: list[int]
    """How many are -Infinity."""


class Curve(Wire):
    """
    A column for the eye.

    Of each bucket: its smallest and its largest finite value, at the steps that have them first;
    one point where the two are the same. A bucket without a finite value has one point all the
    same: the first value in it, NaN or infinite.
    """

    steps: list[int]
    """Ascending."""
    values: list[float]
    """One for each of the steps."""
    not_finite: NotFinite


class Chart(Wire):
    """A job's series for the eye: every spike is in it, however long the series."""

    object: Literal["chart"] = "chart"
    job: str
    state: State
    total: int
    """Steps the job has now."""
    first: int
    """The first step of what is shown."""
    last: int
    """The last one; `first` - 1 if there is none yet."""
    bucket: int
    """Steps in a bucket: 1, where every step is a point, or a power of two. Bucket i has the steps
    from i * bucket on, as far as they lie between `first` and `last`. While a job grows, a bucket
    that is full stays as it is until this number does."""
    returned: int
    """Points in this answer, all columns together."""
    columns: dict[str, Curve]


class PlacedNotFinite(NotFinite):
    """The same, with where on the axis they lie."""

    x: list[int] | list[float]


class ComparedJob(Curve):
    """One of several jobs, for the eye."""

    not_finite: PlacedNotFinite

    job: str
    name: str
    state: State
    total: int
    """Steps the job has now."""
    bucket: int
    """Steps in a bucket. Compared by step, that of all the jobs."""
    x: list[int] | list[float]
    """Where each point lies: its step, the examples seen, or the seconds trained."""
    omitted: str | None
    """Why the job has no points although it has steps; null otherwise."""


class Comparison(Wire):
    """A column of several jobs, for the eye."""

    object: Literal["comparison"] = "comparison"
    column: str
    x: Along
    returned: int
    """Points in this answer, all jobs together."""
    data: list[ComparedJob]
    """In the order in which they were asked for."""
