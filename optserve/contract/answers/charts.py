"""Series reduced for drawing: a job's chart, and the comparison of several jobs."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from optserve.contract.answers.base import WireModel
from optserve.contract.states import State

MIN_POINTS, MAX_POINTS = 2, 10_000
MAX_COMPARED_JOBS = 32
"""Jobs compared in one call."""


class XAxis(StrEnum):
    """The x axis along which jobs are compared."""

    STEP = "step"
    EXAMPLES = "examples"
    """Examples seen by the end of the step; an example counts again in every epoch."""
    SECONDS = "seconds"
    """Seconds of training by the end of the step, over all attempts."""


class NotFinite(WireModel):
    """The buckets that hold NaN or infinite values; each list has one entry per such bucket."""

    steps: list[int]
    """The first such step of the bucket."""
    nan: list[int]
    """How many values are NaN."""
    infinity: list[int]
    """How many are Infinity."""
    minus_infinity: list[int]
    """How many are -Infinity."""


class Curve(WireModel):
    """
    A column reduced for drawing.

    Each bucket contributes its smallest and its largest finite value, each at the first step that
    has it: one point if the two are the same. A bucket without a finite value contributes its
    first value, NaN or infinite.
    """

    steps: list[int]
    """Ascending."""
    values: list[float]
    """One for each of the steps."""
    not_finite: NotFinite


class Chart(WireModel):
    """A job's series reduced for drawing: every spike is kept, however long the series."""

    object: Literal["chart"] = "chart"
    job: str
    state: State
    total: int
    """Number of steps the job has now."""
    first: int
    """The first step shown."""
    last: int
    """The last step shown; `first` - 1 if there is none yet."""
    bucket: int
    """Steps per bucket: 1, where every step is a point, or a power of two. Bucket i holds the steps
    from i * bucket on that lie between `first` and `last`. While a job grows, full buckets do not
    change until this number does."""
    returned: int
    """Number of points in this answer, over all columns."""
    columns: dict[str, Curve]


class ComparedNotFinite(NotFinite):
    """The buckets that hold NaN or infinite values, with their positions on the x axis."""

    x: list[int] | list[float]


class ComparedJob(Curve):
    """One of several compared jobs."""

    not_finite: ComparedNotFinite

    job: str
    name: str
    state: State
    total: int
    """Number of steps the job has now."""
    bucket: int
    """Steps per bucket. Jobs compared by step all have the same."""
    x: list[int] | list[float]
    """Position of each point: its step, the examples seen, or the seconds trained."""
    omitted: str | None
    """Why the job has no points although it has steps; null otherwise."""


class Comparison(WireModel):
    """A column of several jobs, reduced for drawing."""

    object: Literal["comparison"] = "comparison"
    column: str
    x: XAxis
    returned: int
    """Number of points in this answer, over all jobs."""
    data: list[ComparedJob]
    """In the order of the request."""
