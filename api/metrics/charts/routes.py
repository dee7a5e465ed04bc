"""Charts: series for the eye, of one job or of several."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api.http.dependencies import ChartReader, JobRecord, JobStore, TenantName
from api.http.params import require_once
from api.http.problems import documented
from api.metrics.charts import comparison, responses
from api.metrics.charts.params import MaxPoints, require_range
from api.metrics.columns import columns_of, require_column
from optserve.contract.answers.charts import XAxis, Chart, Comparison, MAX_COMPARED_JOBS
from optserve.contract.answers.base import WireModel
from store.errors import ArchiveUnreadable, JobNotFound, StorageUnavailable

router = APIRouter(prefix="/v1", tags=["metrics"])


def _answers(model: type[WireModel]) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model}, **documented(JobNotFound, ArchiveUnreadable, StorageUnavailable)}


@router.get("/jobs/{job_id}/metrics/chart", responses=_answers(Chart))
async def chart_metrics(
    *,
    record: JobRecord,
    reader: ChartReader,
    columns: Annotated[
        list[str], Query(description="loss, or loss,lr; default: all that the job has.")
    ] = [],  # noqa: B006  FastAPI copies it
    max_points: MaxPoints = 2000,
    first: Annotated[int, Query(ge=0, description="The first step to show.")] = 0,
    last: Annotated[
        int | None, Query(ge=0, description="The last one; default: the last there is.")
    ] = None,
) -> Response:
    """
    Return a job's series for the eye: the smallest and the largest value of every bucket of steps.

    No spike is missing, and NaN and infinities are counted; the same question has the same answer.
    A range of `max_points` steps or less has every step in it.
    """
    names = columns_of(record, columns)
    require_range(first or None, last, record.num_steps)
    view = await reader.view(record, names, first=first, last=last, max_points=max_points)
    return _json(responses.chart(view))


@router.get("/metrics/chart", responses=_answers(Comparison))
async def compare_jobs(
    *,
    tenant: TenantName,
    store: JobStore,
    reader: ChartReader,
    job: Annotated[
        list[str], Query(min_length=1, max_length=MAX_COMPARED_JOBS, description="Once for each job.")
    ],
    column: str = "loss",
    x: Annotated[XAxis, Query(description="What the jobs are laid beside each other by.")] = (
        XAxis.STEP
    ),
    max_points: MaxPoints = 1000,
    first: Annotated[
        float | None, Query(ge=0, allow_inf_nan=False, description="Where to begin, on x.")
    ] = None,
    last: Annotated[
        float | None, Query(ge=0, allow_inf_nan=False, description="Where to end, on x.")
    ] = None,
) -> Response:
    """
    Return a column of several jobs for the eye, aligned by step, examples seen or seconds trained.

    Compared by step, all jobs have the same buckets. `max_points` holds for each job.
    """
    require_once("job", job)
    records = [await store.record(tenant, job_id) for job_id in job]
    for record in records:
        require_column(record, column, "column")
    sides = [await comparison.side(store, record, x) for record in records]
    require_range(first, last, comparison.end(sides, x))
    data = await comparison.curves(
        reader, sides, column, x, first=first, last=last, max_points=max_points
    )
    returned = sum(len(curve.steps) for curve in data)
    return _json(Comparison(column=column, x=x, returned=returned, data=data))


def _json(answer: WireModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")
