"""The route for a job's evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from api.http.dependencies import EvaluationsReader, JobRecord, JobStore
from api.http.params import Truncations, beyond
from api.http.problems import documented
from api.metrics.streams.cursor import Cursor
from optserve.contract.answers.evaluations import Evaluation, EvaluationsPage
from store.errors import ArchiveUnreadable, JobNotFound, RowsWereTruncated, StorageUnavailable

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["metrics"])

MAX_EVALUATIONS, DEFAULT_EVALUATIONS = 1000, 100
"""Maximum and default number of evaluations in a page."""


@router.get(
    "/evaluations",
    responses=documented(JobNotFound, RowsWereTruncated, ArchiveUnreadable, StorageUnavailable),
)
async def list_evaluations(
    record: JobRecord,
    store: JobStore,
    reader: EvaluationsReader,
    *,
    after: Annotated[
        int, Query(ge=-1, description="Return only evaluations after this step; -1 for all.")
    ] = -1,
    limit: Annotated[
        int, Query(ge=1, le=MAX_EVALUATIONS, description="Maximum number of evaluations.")
    ] = DEFAULT_EVALUATIONS,
    truncations: Truncations = None,
) -> EvaluationsPage:
    """
    Return a job's evaluations, oldest first, each with its metrics by name.

    Evaluations of steps that were truncated (the job was restarted, or resumed on different
    hardware) are left out.

    To follow a running job, call again with `after` set to the page's `next` and `truncations` set
    to the page's `truncations`. If evaluations you already read were truncated meanwhile, the
    response is a 409 that names the step to resume from.
    """
    if after > record.num_steps:
        raise beyond("less_than_equal", "after", after, le=record.num_steps)
    since = len(record.truncations) if truncations is None else truncations
    _require_valid(record.id, Cursor(after - 1, since), record.truncations)
    found, more = await reader.page(record, after=after, limit=limit)
    last = found[-1].step if found else after
    if not record.state.final:
        # Checked after the read, too, so that a truncation meanwhile is noticed.
        now = (await store.progress(record.tenant, record.id)).truncations
        _require_valid(record.id, Cursor(last - 1, len(record.truncations)), now)
    data = [
        Evaluation(step=each.step, event=each.number, at=each.at, metrics=dict(each.metrics))
        for each in found
    ]
    return EvaluationsPage(data=data, has_more=more, next=last, truncations=len(record.truncations))


def _require_valid(job_id: str, cursor: Cursor, truncations: Sequence[int]) -> None:
    """
    Raise `RowsWereTruncated` if a client must discard evaluations that it has read.

    Args:
        job_id: id of the job.
        cursor: the last row that the client's evaluations depend on.
        truncations: the first row removed, for each truncation of the job so far.
    """
    valid = cursor.after(truncations)
    if valid.last < cursor.last:
        raise RowsWereTruncated(job_id, valid.last + 2, valid.truncations)
