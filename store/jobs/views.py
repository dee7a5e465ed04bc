"""Reading jobs: lists, records, series, histories. Writing is `store.jobs.calls`."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import redis.asyncio

from optcore.files.files import StoredFile
from optserve.contract.answers.history import Event
from optserve.contract.answers.workers import Queue, Worker
from optserve.contract.states import State
from store.archive import reader
from store.archive.pooled import read_file
from store.errors import ArchiveUnreadable, JobNotFound, StoreUnavailable
from store.jobs import calls
from store.jobs.calls import Monitored, Unreadable
from store.jobs.history import History
from store.jobs.pointers import stored_files
from store.jobs.queue import read_queue, read_workers
from store.jobs.record import SUMMARY, Record
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
"""How often rows are read again that are truncated meanwhile."""
PROGRESS = ("state", "rows", "attempt", "cuts", "rev")
"""Fields of a record that say how far a job is."""


class TruncatedMeanwhile(Exception):
    """Rows of a job were truncated since its record was read: read the record again."""


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
        self._history = History(client, files)

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
        # The length first: a spec may have megabytes, and would be read only to be left out.
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
            JobNotFound: it was removed long after it ended.
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
            # Fewer bytes mean one of two things: the rows have just been moved to a file, or
            # truncated.
            if len(data) == count * record.series.width:
                return data
            file = await self._moved(record, "rows")
            if file is None:
                raise TruncatedMeanwhile
        data = await read_file(self._files, reader.rows, file, first=first, count=count)
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
        return await read_file(self._files, reader.marks, file)

    async def verify(self, record: Record) -> None:
        """
        Return if the rows of a job can be read, should they have been moved to a file.

        Raises as `data` does.
        """
        file = record.archive.get("rows")
        if file is not None:
            await read_file(self._files, reader.verify, file)

    async def file(self, record: Record) -> tuple[OpenFile, StoredFile] | None:
        """
        Open the Parquet file with the rows of a job, if they were moved to one.

        Raises as `data` does.
        """
        file = record.archive.get("rows")
        if file is None:
            return None
        # Now, while the answer can still be an error: later, the client has a status and some
        # bytes.
        await read_file(self._files, reader.verify, file)
        try:
            return await self._files.open(file.path), file
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
        """Return entries of a job's history: see `store.jobs.history.History.events`."""
        return await self._history.events(tenant, job_id, after=after, limit=limit)

    async def workers(self) -> list[Worker]:
        """Return the workers that are alive."""
        return await read_workers(self._client)

    async def queue(self, tenant: str) -> Queue:
        """Return what waits, and for which workers."""
        return await read_queue(self._client, tenant)


def _progress(
    state: bytes | None, rows: bytes, attempt: bytes, truncations: bytes | None, events: bytes
) -> Progress | None:
    if state is None:
        return None
    first = json.loads(truncations) if truncations else []
    return Progress(State(state.decode()), int(rows), int(attempt), first, int(events))
