"""The routes for charts of one job or of several jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api.http.dependencies import ChartReader, EvaluationsReader, JobRecord, JobStore, TenantName
from api.http.params import require_once
from api.http.problems import documented
from api.metrics.charts import comparison, responses
from api.metrics.charts.comparison import Window
from api.metrics.charts.params import MaxPoints, require_range
from api.metrics.columns import columns_of
from api.metrics.evaluations.names import metrics_of, require_compared
from api.metrics.evaluations.reader import View as EvaluationView
from optserve.contract.answers.base import WireModel
from optserve.contract.answers.charts import MAX_COMPARED_JOBS, Chart, Comparison, XAxis
from store.errors import ArchiveUnreadable, JobNotFound, StorageUnavailable

router = APIRouter(prefix="/v1", tags=["metrics"])


def _responses(model: type[WireModel]) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model}, **documented(JobNotFound, ArchiveUnreadable, StorageUnavailable)}


@router.get("/jobs/{job_id}/metrics/chart", responses=_responses(Chart))
async def chart_metrics(
    *,
    record: JobRecord,
    reader: ChartReader,
    evaluation_reader: EvaluationsReader,
    columns: Annotated[
        list[str], Query(description="Column names, such as loss or loss,lr; default: all.")
    ] = [],  # noqa: B006  FastAPI copies it
    evaluations: Annotated[
        list[str],
        Query(description="Metrics of evaluations, such as val_loss; default: all measured."),
    ] = [],  # noqa: B006  as above
    max_points: MaxPoints = 2000,
    first: Annotated[int, Query(ge=0, description="First step of the range.")] = 0,
    last: Annotated[
        int | None, Query(ge=0, description="Last step of the range; default: the last stored.")
    ] = None,
) -> Response:
    """
    Return a chart of a job: curves of its columns and of the metrics of its evaluations.

    If the range has at most `max_points` steps, the chart contains every step. If it has more,
    consecutive steps share a bucket, which is drawn as its smallest and its largest value. So no
    spike is lost. NaN and infinities are counted. `max_points` applies to each column and each
    metric.

    A column has a value for every step; a metric has values only for steps with an evaluation.
    Equal requests get equal responses.

    If a file of the job's history is missing or damaged, and the request names no `evaluations`,
    the chart has the columns alone, and `evaluations_unreadable` gives the reason.
    """
    names = columns_of(record, columns)
    # 0 is allowed for a job without steps, too.
    require_range(first or None, last, record.num_steps)
    view = await reader.view(record, names, first=first, last=last, max_points=max_points)
    evaluated: Mapping[str, EvaluationView] = {}
    unreadable = None
    try:
        measured = await evaluation_reader.names(record)
        chosen = metrics_of(record, measured, evaluations)
        evaluated = await evaluation_reader.views(
            view.record, chosen, first=first, last=view.stop, max_points=max_points
        )
    except ArchiveUnreadable as error:
        if evaluations:
            raise
        unreadable = str(error)
    return _json(responses.chart(view, evaluated, unreadable))


@router.get("/metrics/chart", responses=_responses(Comparison))
async def compare_jobs(
    *,
    tenant: TenantName,
    store: JobStore,
    reader: ChartReader,
    evaluation_reader: EvaluationsReader,
    job: Annotated[
        list[str],
        Query(
            min_length=1,
            max_length=MAX_COMPARED_JOBS,
            description="Id of a job; repeat the parameter for each job.",
        ),
    ],
    column: Annotated[
        str, Query(description="A column, or a metric of evaluations, that all of the jobs have.")
    ] = "loss",
    x: Annotated[XAxis, Query(description="The axis on which the jobs are aligned.")] = (
        XAxis.STEP
    ),
    max_points: MaxPoints = 1000,
    first: Annotated[
        float | None,
        Query(ge=0, allow_inf_nan=False, description="Beginning of the range, in units of x."),
    ] = None,
    last: Annotated[
        float | None,
        Query(ge=0, allow_inf_nan=False, description="End of the range, in units of x."),
    ] = None,
) -> Response:
    """
    Return a chart that compares several jobs, by step, examples or seconds trained.

    The jobs are compared by a column, or by a metric of their evaluations, such as `val_loss`. On
    the axis of steps, the buckets of all jobs have the same size. `max_points` applies to each job.
    """
    require_once("job", job)
    records = [await store.record(tenant, job_id) for job_id in job]
    evaluated = not any(column in record.series.columns for record in records)
    for record in records:
        await require_compared(evaluation_reader, record, column, evaluated=evaluated)
    sides = [await comparison.side(store, record, x) for record in records]
    require_range(first, last, comparison.end(sides, x, evaluated=evaluated))
    window = Window(x, first, last, max_points)
    if evaluated:
        data = await comparison.evaluation_curves(evaluation_reader, sides, column, window)
    else:
        data = await comparison.curves(reader, sides, column, window)
    returned = sum(len(curve.steps) for curve in data)
    return _json(Comparison(column=column, x=x, returned=returned, data=data))


def _json(answer: WireModel) -> Response:
    # FastAPI would validate thousands of numbers again.
    return Response(answer.model_dump_json(), media_type="application/json")
