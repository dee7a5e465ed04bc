"""Reading jobs: lists, records, series, histories. Writing is `store.jobs.calls`."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import redis.asyncio

from optserve.contract.answers.history import Event
from optserve.contract.answers.workers import Lane, Queue, Worker
from optserve.contract.states import State
from store.archive import reader
from store.errors import ArchiveUnreadable, JobNotFound, StoreUnavailable
from store.jobs import calls
from store.jobs.calls import Monitored, Unreadable
from store.jobs.pointers import HistoryPart, StoredFile, history_parts, stored_files
from store.jobs.record import SUMMARY, Record, moment
from store.jobs.series import Row
from store.redis import keys
from store.redis.functions import WRONG_TYPE, FunctionsMissing, send_async
from store.storage.pool import OpenFile, StoragePool

log = logging.getLogger(__name__)

T = TypeVar("T")

FINDS_PER_PAGE = 20
"""Calls of the server that look for the jobs of one page, each at 2,000; then the page ends."""
INDEXED_PER_PAGE = 200
"""Calls of the server that look at 500 jobs each, at most, so that a page has all it should."""
LISTED_AT_ONCE = 128
"""Records that the server reads at a time: it does nothing else meanwhile."""
TRIES = 5
"""How often rows or a history are read again that are truncated or moved meanwhile."""
MAX_ENTRIES = 2**53
"""More than any history has."""
PROGRESS = ("state", "rows", "attempt", "cuts", "rev")
"""Fields of a record that say how far a job is."""
RENAMED_KINDS = {"rows_cut": "rows_truncated"}
"""Stored kind -> the kind that clients see. Stored entries never change, so both stay."""


class TruncatedMeanwhile(Exception):
    """Rows of a job were truncated since its record was read: read the record again."""


class MovedMeanwhile(Exception):
    """Entries of a history were moved to another file while they were read."""


class Progress(NamedTuple):
    """
    How far a job is.

    Attributes:
        state: where it stands.
        rows: how many are stored.
        attempt: how many workers have begun it.
        truncations: the first row removed, for each time that rows were truncated.
        events: entries of its history.
    """

    state: State
    rows: int
    attempt: int
    truncations: list[int]
    events: int


class Store:
    """
    Jobs, for an async reader: in Redis, and what was moved from there into files.

    Args:
        client: of the server.
        files: where they lie.
    """

    def __init__(self, client: redis.asyncio.Redis, files: StoragePool) -> None:
        # Its types are unions over text and bytes; ours gives bytes.
        self._client: Any = client
        self._files = files

    async def ready(self) -> None:
        """Raise unless the server answers and has the functions; load them if it may be done."""
        try:
            await send_async(self._client, calls.version())
        except FunctionsMissing as error:
            raise StoreUnavailable(str(error)) from None

    async def monitored(self) -> Monitored:
        """Return how the whole service is, and what it has done."""
        return await send_async(self._client, calls.monitored())

    async def record(self, tenant: str, job_id: str) -> Record:
        """Return the record of a job, or raise `JobNotFound`."""
        record = await send_async(self._client, calls.look(tenant, job_id))
        if record is None:
            raise JobNotFound(job_id)
        return record

    async def ids(
        self,
        tenant: str,
        *,
        state: State | None,
        labels: Mapping[str, str],
        after: str | None,
        limit: int,
    ) -> tuple[list[str], str | None]:
        """
        Return the ids of jobs, newest first, and that to continue after, if there may be more.

        Args:
            tenant: whose.
            state: only these; None for all.
            labels: only jobs that carry all of them.
            after: only jobs older than this one.
            limit: at most so many.

        Raises:
            StoreUnavailable: not all jobs can be found by their labels yet.
        """
        if labels:
            return await self._labelled(
                tenant, state=state, labels=labels, after=after or "", limit=limit
            )
        index = keys.JOBS_IN_STATE % (tenant, state) if state else keys.JOBS % tenant
        newest = f"({after}" if after else "+"
        found = await self._client.zrevrangebylex(index, newest, "-", 0, limit + 1)
        ids = [job_id.decode() for job_id in found[:limit]]
        return ids, ids[-1] if len(found) > limit else None

    async def _labelled(
        self, tenant: str, *, state: State | None, labels: Mapping[str, str], after: str, limit: int
    ) -> tuple[list[str], str | None]:
        await self._index()
        ids: list[str] = []
        for _ in range(FINDS_PER_PAGE):
            call = calls.find(
                tenant, state=state or "", labels=labels, after=after, limit=limit - len(ids)
            )
            found = await send_async(self._client, call)
            ids, after = [*ids, *found.ids], found.last
            if found.all:
                return ids, None
            if len(ids) == limit:
                break
        return ids, after

    async def _index(self) -> None:
        """Find those jobs by their labels that the release before has submitted."""
        call = calls.index_labels()
        for _ in range(INDEXED_PER_PAGE):
            if not await send_async(self._client, call):
                return
        raise StoreUnavailable(
            "labels of jobs that the release before has posted are still being looked through; "
            "try again"
        )

    async def summaries(
        self, tenant: str, ids: Sequence[str]
    ) -> AsyncIterator[Record | Unreadable]:
        """
        Yield of those jobs that are still there what a list shows of them (`SUMMARY`).

        In place of a job whose record cannot be read stands why.
        """
        for start in range(0, len(ids), LISTED_AT_ONCE):
            call = calls.summaries(tenant, SUMMARY, ids[start : start + LISTED_AT_ONCE])
            for record in await send_async(self._client, call):
                if record is not None:
                    yield record

    async def spec(self, record: Record, *, most: int) -> str | None:
        """Return the spec of a job as JSON, or None if that is longer than *most* bytes."""
        key = keys.JOB % (record.tenant, record.id)
        if await self._client.hstrlen(key, "spec") > most:
            return None
        text: bytes | None = await self._client.hget(key, "spec")
        if text is None:
            raise JobNotFound(record.id)
        return text.decode()

    async def progress(self, tenant: str, job_id: str) -> Progress:
        """Return how far a job is."""
        (found,) = await self.progress_of([(tenant, job_id)])
        if found is None:
            raise JobNotFound(job_id)
        return found

    async def progress_of(self, jobs: Sequence[tuple[str, str]]) -> list[Progress | None]:
        """Return how far each of some jobs (tenant, id) is, or None if there is no such job."""
        pipe = self._client.pipeline(transaction=False)
        for tenant, job_id in jobs:
            pipe.hmget(keys.JOB % (tenant, job_id), PROGRESS)
        found: list[Progress | None] = []
        for (tenant, job_id), answer in zip(
            jobs, await pipe.execute(raise_on_error=False), strict=True
        ):
            if isinstance(answer, redis.ResponseError) and str(answer).startswith(WRONG_TYPE):
                log.warning("%s/%s cannot be read: %s", tenant, job_id, answer)
                found.append(None)  # and the others are read
            elif isinstance(answer, Exception):
                raise answer
            else:
                found.append(_progress(*answer))
        return found

    async def rows(self, record: Record, *, first: int, count: int) -> list[Row]:
        """Return *count* stored rows of a job from *first* on; raises as `data` does."""
        return list(record.series.unpack(await self.data(record, first=first, count=count)))

    async def data(self, record: Record, *, first: int, count: int) -> bytes:
        """
        Return *count* stored rows of a job from *first* on, as they are packed.

        They are the same wherever they lie.

        Raises:
            TruncatedMeanwhile: there are fewer.
            JobNotFound: it ended long ago, and was not kept any longer.
            ArchiveUnreadable: they lie in a file that is missing or damaged.
            StorageUnavailable: they lie in a file that cannot be had now.
        """
        if count <= 0:
            return b""
        file = record.archive.get("rows")
        if file is None:
            pipe = self._client.pipeline(transaction=False)
            for chunk, start, stop in record.series.stretches(first, count):
                pipe.getrange(keys.ROWS % (record.tenant, record.id, chunk), start, stop)
            data = b"".join(await pipe.execute())
            if len(data) == count * record.series.width:
                return data
            file = await self._moved(record, "rows")
            if file is None:
                raise TruncatedMeanwhile
        data = await self._read(reader.rows, file, first=first, count=count)
        if len(data) < count * record.series.width:
            raise TruncatedMeanwhile
        return data

    async def require_untruncated(self, record: Record) -> None:
        """Raise `TruncatedMeanwhile` if rows of a job were truncated since *record* was read."""
        progress = await self.progress(record.tenant, record.id)
        if progress.truncations != record.truncations:
            raise TruncatedMeanwhile

    async def untruncated(self, record: Record, read: Callable[[Record], Awaitable[T]]) -> T:
        """
        Return what *read* returns for a job, called again with a new record after a truncation.

        Raises:
            StoreUnavailable: rows were truncated again and again.
        """
        for _ in range(TRIES):
            try:
                return await read(record)
            except TruncatedMeanwhile:
                record = await self.record(record.tenant, record.id)
        raise StoreUnavailable(f"rows of job {record.id} are being truncated; try again")

    async def marks(self, record: Record) -> bytes:
        """
        Return when rows of a job were stored, as `store.jobs.series.unpack_marks` reads it.

        Raises as `data` does.
        """
        file = record.archive.get("rows")
        if file is None:
            found = await self._client.get(keys.MARKS % (record.tenant, record.id))
            file = None if found else await self._moved(record, "rows")
            if file is None:
                return found or b""
        return await self._read(reader.marks, file)

    async def verify(self, record: Record) -> None:
        """
        Return if the rows of a job can be read, should they have been moved to a file.

        Raises as `data` does.
        """
        file = record.archive.get("rows")
        if file is not None:
            await self._read(reader.verify, file)

    async def file(self, record: Record) -> tuple[OpenFile, StoredFile] | None:
        """
        Open the Parquet file with the rows of a job, if they were moved to one.

        Raises as `data` does.
        """
        file = record.archive.get("rows")
        if file is None:
            return None
        await self._read(reader.verify, file)
        try:
            return await self._files.open(file.path), file
        except FileNotFoundError:
            raise ArchiveUnreadable(file.path, "is missing") from None

    async def _read(self, read: Callable[..., T], file: StoredFile, **which: int) -> T:
        """Return what *read*, of `store.archive.reader`, finds in a file, read whole if need be."""
        try:
            return await self._files.read(
                file.path, file.size, read, self._files.storage, file, **which
            )
        except FileNotFoundError:
            raise ArchiveUnreadable(file.path, "is missing") from None

    async def _moved(self, record: Record, what: str) -> StoredFile | None:
        """Return where something of a job lies that was in the store, if it was moved meanwhile."""
        names = ("state", "archive")
        state, files = await self._client.hmget(keys.JOB % (record.tenant, record.id), names)
        if state is None:
            raise JobNotFound(record.id)
        return stored_files(files or b"{}").get(what)

    async def events(self, tenant: str, job_id: str, *, after: int, limit: int) -> list[Event]:
        """
        Return a job's history after the entry *after*, oldest first, *limit* at most.

        Raises:
            JobNotFound: it ended long ago, and was not kept any longer.
            ArchiveUnreadable: it lies in a file that is missing or damaged.
            StorageUnavailable: it lies in a file that cannot be had now.
        """
        first = min(after, MAX_ENTRIES)
        for _ in range(TRIES):
            names = ("state", "history_moved")
            state, moved = await self._client.hmget(keys.JOB % (tenant, job_id), names)
            if state is None:
                raise JobNotFound(job_id)
            try:
                entries = await self._entries(tenant, job_id, int(moved or 0), first, limit)
            except MovedMeanwhile:
                continue
            return [_event(number, entry) for number, entry in enumerate(entries, first + 1)]
        raise StoreUnavailable(f"the history of job {job_id} is being moved; try again")

    async def _entries(
        self, tenant: str, job_id: str, moved: int, first: int, limit: int
    ) -> list[bytes]:
        """Return entries of a history, *moved* of which lie in files written while it went on."""
        start = max(first - moved, 0)
        stop = max(first + limit - moved, 0)
        pipe = self._client.pipeline(transaction=True)
        pipe.lrange(keys.EVENTS % (tenant, job_id), start, stop - 1 if stop else -MAX_ENTRIES)
        pipe.hmget(keys.JOB % (tenant, job_id), ("history", "history_moved", "archive"))
        last, (parts, now_moved, files) = await pipe.execute()
        if int(now_moved or 0) != moved:
            raise MovedMeanwhile
        file = stored_files(files or b"{}").get("events")
        if file is not None and stop:
            last = await self._read(reader.events, file, first=start, count=stop - start)
        found: list[bytes] = []
        begin = 0
        for part in history_parts(parts or b"[]"):
            skipped = max(first - begin, 0)
            count = min(first + limit, begin + part.count) - begin - skipped
            if count > 0:
                found += await self._part(part, tenant, job_id, first=skipped, count=count)
            begin += part.count
        return [*found, *last] if stop else found

    async def _part(
        self, part: HistoryPart, tenant: str, job_id: str, *, first: int, count: int
    ) -> list[bytes]:
        try:
            return await self._read(reader.events, part, first=first, count=count)
        except ArchiveUnreadable:
            parts = await self._client.hget(keys.JOB % (tenant, job_id), "history")
            if part in history_parts(parts or b"[]"):
                raise
            raise MovedMeanwhile from None  # it was joined with others

    async def workers(self) -> list[Worker]:
        """Return the workers that are alive."""
        ids = await self._client.zrange(keys.WORKERS, 0, -1)
        pipe = self._client.pipeline(transaction=False)
        for worker_id in ids:
            pipe.hgetall(keys.WORKER % worker_id.decode())
        return [_worker(raw) for raw in await pipe.execute() if b"host" in raw]

    async def queue(self, tenant: str) -> Queue:
        """Return what waits and who is there."""
        names = sorted(name.decode() for name in await self._client.smembers(keys.LANES))
        pipe = self._client.pipeline(transaction=False)
        for state in (State.QUEUED, State.RUNNING):
            pipe.zcard(keys.JOBS_IN_STATE % (tenant, state))
        for name in names:
            pipe.zcard(keys.PENDING % (name, tenant))
        queued, running, *waiting = await pipe.execute()
        workers = await self.workers()
        return Queue(
            queued=queued,
            running=running,
            workers=len(workers),
            idle_workers=sum(worker.state == "idle" for worker in workers),
            lanes=[
                _lane(name, count, workers)
                for name, count in zip(names, waiting, strict=True)
                if count
            ],
        )


def _progress(
    state: bytes | None, rows: bytes, attempt: bytes, truncations: bytes | None, events: bytes
) -> Progress | None:
    if state is None:
        return None
    first = json.loads(truncations) if truncations else []
    return Progress(State(state.decode()), int(rows), int(attempt), first, int(events))


def _event(number: int, entry: bytes) -> Event:
    fields = json.loads(entry)
    kind = RENAMED_KINDS.get(fields["kind"], fields["kind"])
    return Event.model_validate({**fields, "id": number, "at": moment(fields["at"]), "kind": kind})


def _lane(name: str, queued: int, workers: Sequence[Worker]) -> Lane:
    fingerprint = name[1:] if name.startswith("@") else None
    takers = [
        worker
        for worker in workers
        if name in ("auto", worker.device) or worker.fingerprint == fingerprint
    ]
    return Lane(
        device=None if fingerprint else name,
        fingerprint=fingerprint,
        queued=queued,
        workers=len(takers),
        idle_workers=sum(worker.state == "idle" for worker in takers),
    )


def _worker(raw: Mapping[bytes, bytes]) -> Worker:
    fields: dict[str, Any] = {name.decode(): value.decode() for name, value in raw.items()}
    held = cast("list[str]", json.loads(fields["job"])) if fields["job"] else None
    fields |= {
        "state": "unhealthy" if fields.get("unwell") else fields["state"],
        "unhealthy_reason": fields.get("unwell") or None,
        "job": held[1] if held else None,
        "started_at": moment(fields["since"]),
        "last_seen_at": moment(fields["seen"]),
    }
    return Worker.model_validate(fields)
