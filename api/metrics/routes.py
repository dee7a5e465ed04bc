"""The routes for a job's metrics: pages, exports and the stream of rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.exceptions import RequestValidationError

from api.http.dependencies import Hub, JobRecord, JobStore
from api.http.negotiation import preferred
from api.http.params import Accept, Truncations, beyond
from api.http.problems import documented, invalid
from api.metrics.columns import columns_of
from api.metrics.exports import STEP, Extract, content, export
from api.metrics.streams.cursor import Cursor
from api.metrics.streams.response import EventStream
from api.metrics.streams.subscription import follow
from optcore.spec.errors import RULE, did_you_mean, short_repr
from optserve.contract.answers.metrics import MetricRow, MetricsPage
from optserve.contract.requests.exports import ExportForm
from store.errors import (
    ArchiveUnreadable,
    JobNotFound,
    NotAcceptable,
    RowsWereTruncated,
    StorageUnavailable,
)
from store.jobs.record import Record
from store.jobs.views import TruncatedMeanwhile

router = APIRouter(prefix="/v1/jobs/{job_id}/metrics", tags=["metrics"])

MAX_ROWS, DEFAULT_ROWS = 10_000, 1000
"""Maximum and default number of rows in a page."""
JSON = "json"
"""The format of pages; all others are exports."""
MEDIA_TYPES = {JSON: "application/json", **{form.value: form.media_type for form in ExportForm}}
"""The media type of each format."""
# Nine digits are enough: a run has at most 100,000,000 steps.
EVENT_ID = r"^(-1|\d{1,9})(\.\d{1,6})?$"
"""Pattern of an event id: the last step, then a dot and the number of truncations, if not 0."""
After = Annotated[int, Query(ge=-1, description="Return only steps after this one; -1 for all.")]


def _within(after: int, record: Record, name: str) -> int:
    """Return *after*, or raise an error if *after* is beyond the last step of the whole run."""
    if after >= record.num_steps:
        raise beyond("less_than", name, after, lt=record.num_steps)
    return after


async def _known(record: JobRecord, after: After = -1, truncations: Truncations = None) -> int:
    if truncations is not None:
        _require_valid(record, Cursor(after, truncations), record.truncations)
    return _within(after, record, "after")


async def _resumed(
    record: JobRecord,
    after: After = -1,
    last_event_id: Annotated[
        str | None, Header(pattern=EVENT_ID, description="The id of the last event received.")
    ] = None,
) -> Cursor:
    if last_event_id is None:
        return Cursor(_within(after, record, "after"), len(record.truncations))
    cursor = Cursor.parse(last_event_id)
    if cursor.truncations > len(record.truncations):
        raise RequestValidationError([_foreign(last_event_id, len(record.truncations))])
    _within(cursor.after(record.truncations).last, record, "last-event-id")
    return cursor


def _foreign(event_id: str, truncations: int) -> dict[str, object]:
    message = (
        "last-event-id must be an id from this job's stream, in which steps were truncated "
        f"{truncations} times so far, got {event_id!r}"
    )
    return {"type": RULE, "loc": ("header", "last-event-id"), "msg": message, "input": event_id}


async def _form(
    accept: Accept = "",
    format_name: Annotated[
        str | None,
        Query(
            alias="format",
            description="The format; overrides Accept.",
            json_schema_extra={"enum": [*MEDIA_TYPES]},
        ),
    ] = None,
) -> ExportForm | None:
    name = preferred(accept, MEDIA_TYPES) if format_name is None else format_name
    if name not in MEDIA_TYPES:
        near = did_you_mean(name, MEDIA_TYPES)
        message = f"format must be one of {', '.join(MEDIA_TYPES)}, got {short_repr(name)}{near}"
        raise invalid("format", message, name)
    return None if name == JSON else ExportForm(name)


Form = Annotated[ExportForm | None, Depends(_form)]
"""The format of the requested export; None if a page is requested."""
Limit = Annotated[
    int | None,
    Query(
        ge=1,
        description=f"Maximum number of rows. JSON: {DEFAULT_ROWS} by default, {MAX_ROWS} at most. "
        "Exports: all by default.",
    ),
]
Columns = Annotated[
    str | None, Query(description="For exports: the column names, in order, such as loss,lr.")
]


async def _wanted(
    record: JobRecord,
    after: Annotated[int, Depends(_known)],
    form: Form,
    limit: Limit = None,
    columns: Columns = None,
) -> Extract:
    named = columns_of(record, [] if columns is None else [columns], also=[STEP])
    names = tuple(name for name in named if name != STEP)
    if form is None:
        if columns is not None:
            message = (
                "columns must be omitted for JSON, which has all columns, "
                f"got {short_repr(columns)}"
            )
            raise invalid("columns", message, columns)
        if limit is not None and limit > MAX_ROWS:
            raise invalid("limit", f"limit must be at most {MAX_ROWS}, got '{limit}'", limit)
        limit = limit or DEFAULT_ROWS
    stop = record.rows if limit is None else min(record.rows, after + 1 + limit)
    return Extract(after + 1, max(stop, after + 1), names)


@router.get(
    "",
    response_model=MetricsPage,
    responses={
        200: {"content": content()},
        **documented(
            JobNotFound, NotAcceptable, RowsWereTruncated, ArchiveUnreadable, StorageUnavailable
        ),
    },
)
async def read_metrics(
    record: JobRecord,
    store: JobStore,
    *,
    form: Form,
    wanted: Annotated[Extract, Depends(_wanted)],
    response: Response,
) -> MetricsPage | Response:
    """
    Return the metrics of a job's steps, oldest first.

    To follow a running job, call again with `after` set to the page's `next` and `truncations` set
    to the page's `truncations`. If steps you already read were truncated meanwhile (the job was
    restarted, or resumed on different hardware), the response is a 409 that names the step to
    resume from.

    With CSV, NDJSON, Parquet or Arrow (chosen by `Accept` or `?format=`), the response is an
    export. By default it contains all steps so far. Its numbers are exact to the bit.
    The complete Parquet file of a job that has ended has an ETag and supports range requests.
    """
    if form is not None:
        return await export(store, record, form, wanted)
    first, stop, columns = wanted
    response.headers["Vary"] = "Accept"
    try:
        rows = await store.rows(record, first=first, count=stop - first)
    except TruncatedMeanwhile:
        rows = []  # the check below raises an error that names the step
    if not record.state.final:
        # Checked after the rows were read, so that a truncation meanwhile is noticed; the next
        # request notices a later one. The rows of a job that has ended are not truncated any more.
        now = (await store.progress(record.tenant, record.id)).truncations
        _require_valid(record, Cursor(stop - 1, len(record.truncations)), now)
    data = [
        MetricRow.model_validate({"step": step, **dict(zip(columns, row, strict=True))})
        for step, row in enumerate(rows, first)
    ]
    last = first + len(data) - 1
    more = last + 1 < record.rows
    return MetricsPage(data=data, has_more=more, next=last, truncations=len(record.truncations))


def _require_valid(record: Record, cursor: Cursor, truncations: Sequence[int]) -> None:
    """Raise `RowsWereTruncated` if *truncations* removed rows that a client at *cursor* has."""
    valid = cursor.after(truncations)
    if valid.last < cursor.last:
        raise RowsWereTruncated(record.id, valid.last + 1, valid.truncations)


@router.get(
    "/stream",
    response_class=EventStream,
    responses=documented(JobNotFound, ArchiveUnreadable, StorageUnavailable),
)
async def stream_metrics(
    record: JobRecord,
    store: JobStore,
    hub: Hub,
    cursor: Annotated[Cursor, Depends(_resumed)],
) -> EventStream:
    """
    Stream a job's rows as server-sent events.

    - `rows`: some steps, oldest first. The id of the event names the last of these steps.
    - `state`: the state of the job, sent at the beginning and after every change.
    - `truncated`: the job was restarted, or resumed on different hardware. Discard the steps from
      `step` on, which will be sent again.
    - `end`: the last event, with the number of steps and the digest of the run.

    Evaluations are sent by the stream of the job's history, `/events/stream`, as events
    `evaluated`.

    Pings are sent as comments. A stream also ends after about an hour, or when its client falls
    behind.

    To resume after a stream has ended early or its connection broke, send the id of the last event
    as `Last-Event-ID`. Then no step is lost or repeated. Browsers send this header by themselves.
    """
    if cursor.after(record.truncations).last + 1 < record.rows:
        # An unreadable archive gets an error response here; later it could only end the stream.
        await store.verify(record)
    return hub.stream(partial(follow, record, cursor))
