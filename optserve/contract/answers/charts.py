"""Metrics reduced to few points for drawing: the chart of one job, and comparisons of jobs."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from optserve.contract.answers.base import WireModel
from optserve.contract.answers.jobs import Result
from optserve.contract.states import State

MIN_POINTS, MAX_POINTS = 2, 10_000
MAX_COMPARED_JOBS = 32
"""Maximum number of jobs in a comparison."""


class XAxis(StrEnum):
    """The quantity on the x axis of a comparison."""

    STEP = "step"
    EXAMPLES = "examples"
    """Examples seen by the end of the step; an example counts again in every epoch."""
    SECONDS = "seconds"
    """Seconds of training by the end of the step, over all attempts."""


class NotFinite(WireModel):
    """
    The buckets that contain NaN or infinite values; each list has one entry per such bucket.

    A bucket is a range of steps that is reduced to at most two points.
    """

    steps: list[int]
    """In each bucket, the first step whose value is NaN or infinite."""
    nan: list[int]
    """Number of NaN values in each bucket."""
    infinity: list[int]
    """Number of Infinity values in each bucket."""
    minus_infinity: list[int]
    """Number of -Infinity values in each bucket."""


class Curve(WireModel):
    """
    One column of a job's metrics, reduced for drawing.

    The steps are divided into buckets, which are ranges of steps. Each bucket contributes two
    points: its smallest and its largest finite value, each at the first step with that value.

    If both are at the same step, the bucket contributes one point. A bucket without a finite value
    contributes its first value, which is NaN or infinite.
    """

    steps: list[int]
    """Step of each point, ascending."""
    values: list[float]
    """Value of each point."""
    not_finite: NotFinite


class EvaluationCurve(Curve):
    """
    One metric of a job's evaluations, reduced for drawing as a `Curve` is.

    The step of an evaluation is the number of steps made before it: an evaluation at step 600 comes
    after step 599, and before step 600.
    """

    bucket: int
    """Number of steps per bucket: 1 if every evaluation is a point, otherwise a power of two."""
    higher_is_better: bool | None
    """Whether a higher value is better; null if the service does not have this metric any more."""


class Chart(WireModel):
    """The metrics of a job, reduced for drawing; every spike is preserved, even in a long job."""

    object: Literal["chart"] = "chart"
    job: str
    state: State
    total: int
    """Number of steps that the job has now."""
    first: int
    """The first step shown."""
    last: int
    """The last step shown; `first` - 1 if there are no steps yet."""
    bucket: int
    """Number of steps per bucket: 1 if every step is a point, otherwise a power of two. Bucket i
    contains those steps from i * bucket to (i + 1) * bucket - 1 that are between `first` and
    `last`. While a job adds steps, full buckets change only when this number changes."""
    returned: int
    """Number of points in this response, over all columns and evaluations."""
    columns: dict[str, Curve]
    evaluations: dict[str, EvaluationCurve] = Field(default_factory=dict)
    """The evaluations by metric, such as `val_loss`: those before, between and after the steps
    shown, from step `first` to `last` + 1. Confusion matrices are left out."""
    evaluations_unreadable: str | None = None
    """Why there are no evaluations: a file of the job's history is missing or damaged. Null if they
    could be read."""


class ComparedNotFinite(NotFinite):
    """The buckets that contain NaN or infinite values, with their positions on the x axis."""

    x: list[int] | list[float]


class ComparedJob(Curve):
    """The curve of one job in a comparison."""

    not_finite: ComparedNotFinite

    job: str
    name: str
    state: State
    total: int
    """Number of steps that the job has now."""
    bucket: int
    """Number of steps per bucket; in a comparison by step, it is the same for all jobs."""
    x: list[int] | list[float]
    """Position of each point on the x axis: its step, the examples seen, or the seconds trained."""
    omitted: str | None
    """Why the job has no points although it has steps; null otherwise."""
    result: Result | None = None
    """The job's result, without confusion matrices; null until it has succeeded."""


class Comparison(WireModel):
    """One column of several jobs, or one metric of their evaluations, reduced for drawing."""

    object: Literal["comparison"] = "comparison"
    column: str
    """The compared column or metric."""
    x: XAxis
    returned: int
    """Number of points in this response, over all jobs."""
    data: list[ComparedJob]
    """The curves of the jobs, in the order in which the request names the jobs."""
