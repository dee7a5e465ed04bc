"""Metrics: what is known of every step, polled or streamed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.exceptions import RequestValidationError

from api.http.dependencies import JobRecord, JobStore, StreamDesk
from api.http.negotiation import preferred
from api.http.params import beyond
from api.http.problems import documented, invalid
from api.metrics.columns import columns_of
from api.metrics.exports import STEP, Extract, content, export
from api.metrics.streams.cursor import Place
from api.metrics.streams.open_streams import EventStream
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

router = APIRouter(prefix="/v1/jobs/{job_id}/metrics", tags=["metrics"])

MAX_ROWS, DEFAULT_ROWS = 10_000, 1000
"""Rows of a page of JSON."""
JSON = "json"
"""Not an export: pages of rows."""
MEDIA_TYPES = {JSON: "application/json", **{form.value: form.media_type for form in ExportForm}}
"""What metrics may be had as."""
MAX_TRUNCATIONS = 10**6
EVENT_ID = r"^(-1|\d{1,9})(\.\d{1,6})?$"
"""The last step, and behind a dot how often steps had been cut by then, if they were."""
After = Annotated[int, Query(ge=-1, description="The last step you have; -1 for none.")]
Truncations = Annotated[
    int | None,
    Query(ge=0, le=MAX_TRUNCATIONS, description="`truncations` of the page that `after` is from."),
]


def _within(after: int, record: Record, name: str) -> int:
    """Return *after*, which must be a step that the job has, or will have."""
    if after >= record.num_steps:
        raise beyond("less_than", name, after, lt=record.num_steps)
    return after


async def _known(record: JobRecord, after: After = -1, truncations: Truncations = None) -> int:
    if truncations is not None:
        _unless_cut(record, Place(after, truncations), record.truncations)
    return _within(after, record, "after")


async def _resumed(
    record: JobRecord,
    after: After = -1,
    last_event_id: Annotated[str | None, Header(pattern=EVENT_ID)] = None,
) -> Place:
    if last_event_id is None:
        return Place(_within(after, record, "after"), len(record.truncations))
    place = Place.parse(last_event_id)
    if place.cuts > len(record.truncations):
        raise RequestValidationError([_foreign(last_event_id, len(record.truncations))])
    _within(place.after(record.truncations).last, record, "last-event-id")
    return place


def _foreign(event_id: str, cuts: int) -> dict[str, object]:
    message = (
        f"last-event-id must be one that this job's stream has given: its steps were cut {cuts} "
        f"times, got {event_id!r}"
    )
    return {"type": RULE, "loc": ("header", "last-event-id"), "msg": message, "input": event_id}


async def _form(
    accept: Annotated[str, Header()] = "",
    asked: Annotated[
        str | None,
        Query(
            alias="format",
            description="Instead of Accept.",
            json_schema_extra={"enum": [*MEDIA_TYPES]},
        ),
    ] = None,
) -> ExportForm | None:
    name = preferred(accept, MEDIA_TYPES) if asked is None else asked
    if name not in MEDIA_TYPES:
        near = did_you_mean(name, MEDIA_TYPES)
        message = f"format must be one of {', '.join(MEDIA_TYPES)}, got {short_repr(name)}{near}"
        raise invalid("format", message, name)
    return None if name == JSON else ExportForm(name)


Form = Annotated[ExportForm | None, Depends(_form)]
"""Of an export; None for a page of JSON."""
Limit = Annotated[
    int | None,
    Query(ge=1, description=f"At most so many. As JSON: 1000, or up to {MAX_ROWS}. Else: all."),
]
Columns = Annotated[
    str | None, Query(description="Of exports: some of the job's columns, in this order: loss,lr")
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
            message = f"columns must be left out for JSON, which has all, got {short_repr(columns)}"
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
    Return the metrics of the steps after `after`, oldest first.

    To follow a running job, call again with `after` set to `next`, and `truncations` to that of the
    page. If steps you already read were truncated meanwhile (the job was restarted, or resumed on
    different hardware), the answer is a 409 that names the step to resume from.

    As CSV, NDJSON, Parquet or Arrow (`Accept` chooses, or `?format=`) all of them are streamed, as
    many as there are now: the numbers come back bit for bit. The whole Parquet file of a job that
    has ended has an ETag and may be read in ranges.
    """
    if form is not None:
        return await export(store, record, form, wanted)
    first, stop, columns = wanted
    response.headers["Vary"] = "Accept"
    rows = await store.rows(record, first=first, count=stop - first)
    if not record.state.final:
        now = (await store.progress(record.tenant, record.id)).cuts
        _unless_cut(record, Place(stop - 1, len(record.truncations)), now)
    data = [
        MetricRow.model_validate({"step": step, **dict(zip(columns, row, strict=True))})
        for step, row in enumerate(rows, first)
    ]
    last = first + len(data) - 1
    more = last + 1 < record.rows
    return MetricsPage(data=data, has_more=more, next=last, truncations=len(record.truncations))


def _unless_cut(record: Record, place: Place, cuts: Sequence[int]) -> None:
    """Raise if rows up to *place* are not what they were, given all *cuts*."""
    kept = place.after(cuts)
    if kept.last < place.last:
        raise RowsWereTruncated(record.id, kept.last + 1, kept.cuts)


@router.get(
    "/stream",
    response_class=EventStream,
    responses=documented(JobNotFound, ArchiveUnreadable, StorageUnavailable),
)
async def stream_metrics(
    record: JobRecord,
    store: JobStore,
    desk: StreamDesk,
    place: Annotated[Place, Depends(_resumed)],
) -> EventStream:
    """
    Follow a job as server-sent events.

    - `rows`: some steps, oldest first; the event's id is the last of them. A connection that
      breaks is resumed by sending it back as `Last-Event-ID`: no step is lost or repeated.
    - `state`: the job has changed its state.
    - `truncated`: the steps from `step` on are discarded and will be sent again: the job was
      restarted, or resumed on different hardware.
    - `end`: the last event, with the number of steps and the digest of the run.

    A comment now and then shows that the connection lives. A stream ends after an hour, or when
    its client falls behind; resume it in the same way (a browser does so by itself).
    """
    if place.after(record.truncations).last + 1 < record.rows:
        # What a stream cannot read ends it without a word; here it can still be said.
        await store.verify(record)
    return desk.stream(partial(follow, record, place))
