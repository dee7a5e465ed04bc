"""Routes for the history of a job, as pages of entries and as a stream."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query

from api.http.dependencies import Hub, JobRecord, JobStore
from api.http.params import beyond
from api.http.problems import documented
from api.metrics.streams.response import EventStream
from api.metrics.streams.subscription import follow_history
from optserve.contract.answers.base import Page
from optserve.contract.answers.history import Event
from store.errors import ArchiveUnreadable, JobNotFound, StorageUnavailable

# Redis counts the entries of a list in a signed 64-bit integer.
MAX_ENTRY = 2**63 - 1
"""The largest number that an entry can have."""
After = Annotated[
    int,
    Query(ge=0, le=MAX_ENTRY, description="Return only entries after this one; 0 for all."),
]

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["history"])


@router.get("/events", responses=documented(JobNotFound, ArchiveUnreadable, StorageUnavailable))
async def list_events(
    record: JobRecord,
    store: JobStore,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Maximum number of entries.")] = 100,
) -> Page[Event]:
    """Return a job's history, oldest entry first: what happened to the job, and why."""
    # One more than requested, which shows whether another page follows.
    found = await store.events(record.tenant, record.id, after=after, limit=limit + 1)
    events = found[:limit]
    return Page(
        data=events,
        has_more=len(found) > limit,
        next=events[-1].id if events else after,
    )


@router.get(
    "/events/stream",
    response_class=EventStream,
    responses=documented(JobNotFound, ArchiveUnreadable, StorageUnavailable),
)
async def stream_events(
    record: JobRecord,
    store: JobStore,
    hub: Hub,
    after: After = 0,
    last_event_id: Annotated[
        int | None,
        Header(ge=0, le=MAX_ENTRY, description="The id of the last event received."),
    ] = None,
) -> EventStream:
    """
    Stream a job's history as server-sent events, until the job has ended and all entries are sent.

    The name of an event is the kind of the entry, and its id is the number of the entry. To resume
    after the connection breaks, send the id of the last event received as `Last-Event-ID`.
    """
    last, name = (after, "after") if last_event_id is None else (last_event_id, "last-event-id")
    newest = int(record.fields["rev"])
    if last > newest:
        raise beyond("less_than_equal", name, last, le=newest)
    if "events" in record.archive and last < newest:
        # An unreadable archive gets an error response here; later it could only end the stream.
        await store.events(record.tenant, record.id, after=last, limit=1)
    return hub.stream(partial(follow_history, record, last))
