"""What a job leaves behind: its history and its files."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query

from api.http.dependencies import JobRecord, JobStore, StoredFiles, StreamDesk
from api.http.downloads import Download
from api.http.params import beyond
from api.http.problems import documented
from api.metrics.streams.open_streams import EventStream
from api.metrics.streams.subscription import follow_history
from optserve.contract.answers.base import Page
from optserve.contract.answers.checkpoints import Checkpoint
from optserve.contract.answers.history import Event
from store.errors import ArchiveUnreadable, ArtifactNotFound, JobNotFound, StorageUnavailable

LAST = 2**63 - 1
"""Number of the last entry that a history can have."""

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["history"])


@router.get("/events", responses=documented(JobNotFound, ArchiveUnreadable, StorageUnavailable))
async def list_events(
    record: JobRecord,
    store: JobStore,
    after: Annotated[int, Query(ge=0, le=LAST, description="The last entry you have.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page[Event]:
    """Return a job's history, oldest first: every transition, who caused it and why."""
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
    desk: StreamDesk,
    after: Annotated[int, Query(ge=0, le=LAST, description="The last entry you have.")] = 0,
    last_event_id: Annotated[int | None, Header(ge=0, le=LAST)] = None,
) -> EventStream:
    """
    Follow a job's history as server-sent events, to the entry that ends it.

    The name of each is its kind, its id the number of the entry: a connection that breaks is
    resumed by sending it back as `Last-Event-ID`.
    """
    last, name = (after, "after") if last_event_id is None else (last_event_id, "last-event-id")
    there_are = int(record.fields["rev"])
    if last > there_are:
        raise beyond("less_than_equal", name, last, le=there_are)
    if "events" in record.archive and last < there_are:
        # What a stream cannot read ends it without a word; here it can still be said.
        await store.events(record.tenant, record.id, after=last, limit=1)
    return desk.stream(partial(follow_history, record, last))


@router.get("/checkpoints", responses=documented(JobNotFound, StorageUnavailable))
async def list_checkpoints(record: JobRecord, files: StoredFiles) -> Page[Checkpoint]:
    """Return the states of a job that are kept, oldest first: any of them can be cloned."""
    data = [
        Checkpoint(
            step=kept.step,
            sha256=kept.sha256,
            size=await files.read(kept.path, 0, files.storage.size, kept.path),
            best=record.best is not None and kept.step == record.best.step,
        )
        for kept in record.kept()
    ]
    return Page(data=data, has_more=False, next=None)


@router.get(
    "/artifacts/{name}",
    response_class=Download,
    responses=documented(JobNotFound, ArtifactNotFound, ArchiveUnreadable, StorageUnavailable),
)
async def read_artifact(record: JobRecord, files: StoredFiles, name: str) -> Download:
    """
    Return a file of a finished job.

    - `model.safetensors`: its network, as it was evaluated.
    - `ema.safetensors`: the moving average of its weights, if it kept one.
    - `best.safetensors`: its network where it was best, if it kept that.
    """
    artifacts = record.artifacts
    if name not in artifacts:
        raise ArtifactNotFound(name, artifacts)
    try:
        file = await files.open(artifacts[name]["path"])
    except FileNotFoundError:
        raise ArchiveUnreadable(artifacts[name]["path"], "is missing") from None
    return Download(
        file,
        filename=name,
        media_type="application/octet-stream",
        headers={
            "X-Content-Type-Options": "nosniff",
            "ETag": f'"{artifacts[name]["sha256"]}"',
        },
    )
