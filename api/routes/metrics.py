"""Metrics: what is known of every step, polled or streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.exceptions import RequestValidationError
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.dependencies import JobRecord, JobStore
from api.following import Place, follow
from api.problems import documented
from jobs.errors import JobNotFound
from jobs.record import Record
from jobs.spec.wire import MetricRow, Page

router = APIRouter(prefix="/v1/jobs/{job_id}/metrics", tags=["metrics"])

MAX_ROWS = 10_000
EVENT_ID = r"^(-1|\d{1,9})(\.\d{1,6})?$"
"""The last step, and behind a dot how often steps had been cut by then, if they were."""
After = Annotated[int, Query(ge=-1, description="The last step you have; -1 for none.")]


def _within(after: int, record: Record, name: str) -> int:
    """Return *after*, which must be a step that the job has, or will have."""
    if after >= record.num_steps:
        raise RequestValidationError(
            [
                {
                    "type": "less_than",
                    "loc": ("query", name),
                    "msg": "",
                    "input": after,
                    "ctx": {"lt": record.num_steps},
                }
            ]
        )
    return after


async def _known(record: JobRecord, after: After = -1) -> int:
    return _within(after, record, "after")


async def _resumed(
    record: JobRecord,
    after: After = -1,
    last_event_id: Annotated[str | None, Header(pattern=EVENT_ID)] = None,
) -> Place:
    if last_event_id is None:
        return Place(_within(after, record, "after"), len(record.cuts))
    place = Place.parse(last_event_id)
    _within(place.after(record.cuts).last, record, "last-event-id")
    return place


@router.get("", responses=documented(JobNotFound))
async def read_metrics(
    record: JobRecord,
    store: JobStore,
    after: Annotated[int, Depends(_known)],
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 1000,
) -> Page[MetricRow]:
    """
    Return the metrics of the steps after `after`, oldest first.

    To follow a running job, call again with `after` set to `next`.
    """
    count = min(limit, record.rows - after - 1)
    rows = await store.rows(record, first=after + 1, count=max(count, 0))
    columns = record.series.columns
    data = [
        MetricRow.model_validate({"step": step, **dict(zip(columns, row, strict=True))})
        for step, row in enumerate(rows, after + 1)
    ]
    last = after + len(data)
    return Page(data=data, has_more=last + 1 < record.rows, next=last)


@router.get("/stream", response_class=EventSourceResponse, responses=documented(JobNotFound))
async def stream_metrics(
    record: JobRecord, store: JobStore, place: Annotated[Place, Depends(_resumed)]
) -> AsyncIterator[ServerSentEvent]:
    """
    Follow a job as server-sent events.

    - `rows`: some steps, oldest first; the event's id is the last of them. A connection that
      breaks is resumed by sending it back as `Last-Event-ID`: no step is lost or repeated.
    - `state`: the job has changed its state.
    - `cut`: steps from `step` on are no longer what they were, and will come anew: the job was
      restarted, or goes on where bits come out differently.
    - `end`: the last event, with the number of steps and the digest of the run.
    """
    async for event in follow(store, record, place):
        yield event
