"""Reads jobs: lists, records, series and histories. To change a job, see `store.jobs.calls`."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

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
from store.jobs.progress import PROGRESS, Progress
from store.jobs.queue import read_queue, read_workers
from store.jobs.record import SUMMARY, Record
from store.jobs.series import Row
from store.redis import keys
from store.redis.functions import WRONG_TYPE, FunctionsMissing, send_async
from store.storage.pool import OpenFile, StoragePool

log = logging.getLogger(__name__)

T = TypeVar("T")

FINDS_PER_PAGE = 20
"""Maximum number of `find` calls for one page of jobs; each compares up to 2,000 jobs."""
INDEXED_PER_PAGE = 200
"""Maximum number of `index_labels` calls before a page is read; each indexes up to 500 jobs."""
LISTED_AT_ONCE = 128
"""Maximum number of records that one call reads: Redis serves no other client during a call."""
TRIES = 5
"""Maximum number of times that rows are read, if they are truncated meanwhile."""


class TruncatedMeanwhile(Exception):
    """Rows of a job were truncated since its record was read: read the record again."""


class Store:
    """
    Reads jobs in an event loop: from Redis, and from the files to which their data was moved.

    Args:
        client: the Redis client.
        files: the storage, which holds the files.
    """

    def __init__(self, client: redis.asyncio.Redis, files: StoragePool) -> None:
        # redis-py types its replies as unions of text and bytes; this client returns bytes.
        self._client: Any = client
        self._files = files
        self._history = History(client, files)

    async def ready(self) -> None:
        """
        Check that Redis responds and has the Lua functions; load them if they are missing.

        Raises:
            RedisError: Redis does not respond, or cannot write.
            StoreUnavailable: the functions are missing, and this Redis user may not load them.
        """
        try:
            await send_async(self._client, calls.version())
        except FunctionsMissing as error:
            raise StoreUnavailable(str(error)) from None

    async def monitored(self) -> Monitored:
        """Return figures about the whole service, such as the number of jobs in each state."""
        return await send_async(self._client, calls.monitored())

    async def record(self, tenant: str, job_id: str) -> Record:
        """Return the record of a job; raise `JobNotFound` if there is no such job."""
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
        Return ids of jobs, newest first, and the id to pass as *after* for the next page.

        The second value is None if there are no more jobs. A page of jobs with *labels* may have
        fewer ids than *limit* although more jobs follow.

        Args:
            tenant: the tenant that the jobs belong to.
            state: the state that the jobs must be in; None for any state.
            labels: the labels that a job must carry, name -> value; empty for any labels.
            after: the id of a job; only older jobs are returned. None starts at the newest.
            limit: the maximum number of ids.

        Raises:
            StoreUnavailable: *labels* has a label, and the index of labels is not complete yet.
        """
        if labels:
            return await self._labelled(
                tenant, state=state, labels=labels, after=after or "", limit=limit
            )
        index = keys.JOBS_IN_STATE % (tenant, state) if state else keys.JOBS % tenant
        newest = f"({after}" if after else "+"
        # One more than requested, which shows whether another page follows.
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
        """Add the jobs that release 0.1.0 accepted to the index of labels."""
        call = calls.index_labels()
        for _ in range(INDEXED_PER_PAGE):
            if not await send_async(self._client, call):
                return
        raise StoreUnavailable(
            "the labels of jobs from release 0.1.0 are still being indexed; try again, or omit the "
            "filter by label"
        )

    async def summaries(
        self, tenant: str, ids: Sequence[str]
    ) -> AsyncIterator[Record | Unreadable]:
        """
        Yield the record of each job that still exists, with the fields that lists show (`SUMMARY`).

        For a job whose record cannot be read, yield an `Unreadable` with the reason.
        """
        for start in range(0, len(ids), LISTED_AT_ONCE):
            call = calls.summaries(tenant, SUMMARY, ids[start : start + LISTED_AT_ONCE])
            for record in await send_async(self._client, call):
                if record is not None:
                    yield record

    async def spec(self, record: Record, *, most: int) -> str | None:
        """Return a job's spec as JSON, or None if the JSON is longer than *most* bytes."""
        key = keys.JOB % (record.tenant, record.id)
        # The length is read first: a spec may have megabytes, read in vain if that is too long.
        if await self._client.hstrlen(key, "spec") > most:
            return None
        text: bytes | None = await self._client.hget(key, "spec")
        if text is None:
            raise JobNotFound(record.id)
        return text.decode()

    async def progress(self, tenant: str, job_id: str) -> Progress:
        """Return a job's progress; raise `JobNotFound` if there is no such job."""
        (found,) = await self.progress_of([(tenant, job_id)])
        if found is None:
            raise JobNotFound(job_id)
        return found

    async def progress_of(self, jobs: Sequence[tuple[str, str]]) -> list[Progress | None]:
        """
        Return the progress of each of *jobs*, which are pairs (tenant, id).

        For a job that does not exist, or whose record cannot be read, the list has None.
        """
        # No transaction: Redis may serve other clients between two jobs, which are independent.
        pipe = self._client.pipeline(transaction=False)
        for tenant, job_id in jobs:
            pipe.hmget(keys.JOB % (tenant, job_id), PROGRESS)
        found: list[Progress | None] = []
        for (tenant, job_id), answer in zip(
            jobs, await pipe.execute(raise_on_error=False), strict=True
        ):
            if isinstance(answer, redis.ResponseError) and str(answer).startswith(WRONG_TYPE):
                log.warning("the record of %s/%s cannot be read: %s", tenant, job_id, answer)
                found.append(None)  # the other jobs are still returned
            elif isinstance(answer, Exception):
                raise answer
            else:
                found.append(_progress(*answer))
        return found

    async def rows(self, record: Record, *, first: int, count: int) -> list[Row]:
        """Return *count* rows of a job, from row *first* on; raise the same errors as `data`."""
        return list(record.series.unpack(await self.data(record, first=first, count=count)))

    async def data(self, record: Record, *, first: int, count: int) -> bytes:
        """
        Return *count* rows of a job, from row *first* on, as the bytes in which they are stored.

        The bytes are the same whether the rows are in Redis or were moved to a file.

        Raises:
            TruncatedMeanwhile: not all of these rows are stored, since rows were truncated.
            JobNotFound: the job was removed meanwhile.
            ArchiveUnreadable: the file that holds the rows is missing or damaged.
            StorageUnavailable: the file that holds the rows cannot be read now.
        """
        if count <= 0:
            return b""
        file = record.archive.get("rows")
        if file is None:
            pipe = self._client.pipeline(transaction=False)
            for chunk, start, stop in record.series.stretches(first, count):
                pipe.getrange(keys.ROWS % (record.tenant, record.id, chunk), start, stop)
            data = b"".join(await pipe.execute())
            # Fewer bytes mean that the rows have just been moved to a file, or truncated.
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
        Return ``await read(record)``; on `TruncatedMeanwhile`, read the record anew and retry.

        Raises:
            StoreUnavailable: rows were truncated during every try.
        """
        for _ in range(TRIES):
            try:
                return await read(record)
            except TruncatedMeanwhile:
                record = await self.record(record.tenant, record.id)
        raise StoreUnavailable(f"rows of job {record.id} are being truncated; try again")

    async def marks(self, record: Record) -> bytes:
        """
        Return the times at which a job's rows were stored, as bytes.

        `store.jobs.series.unpack_marks` unpacks the bytes. The method raises the same errors as
        `data`.
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
        Check that the file with a job's rows is intact, if the rows were moved to a file.

        Raises:
            ArchiveUnreadable: the file is missing or damaged.
            StorageUnavailable: the file cannot be read now.
        """
        file = record.archive.get("rows")
        if file is not None:
            await read_file(self._files, reader.verify, file)

    async def file(self, record: Record) -> tuple[OpenFile, StoredFile] | None:
        """
        Return the Parquet file with a job's rows: the opened file, and its path, SHA-256 and size.

        Return None if the rows are still in Redis.

        Raises:
            ArchiveUnreadable: the file is missing or damaged.
            StorageUnavailable: the file cannot be read now.
        """
        file = record.archive.get("rows")
        if file is None:
            return None
        # Verified now, while the response can still be an error: later, a status has been sent.
        await read_file(self._files, reader.verify, file)
        try:
            return await self._files.open(file.path), file
        except FileNotFoundError:
            raise ArchiveUnreadable(file.path, "is missing") from None

    async def _moved(self, record: Record, what: str) -> StoredFile | None:
        """
        Return the file to which data of a job was moved; None if the data is still in Redis.

        *what* names the data: ``rows``, or ``events`` for the history. *record* may have been read
        before the data was moved.
        """
        names = ("state", "archive")
        state, files = await self._client.hmget(keys.JOB % (record.tenant, record.id), names)
        if state is None:
            raise JobNotFound(record.id)
        return stored_files(files or b"{}").get(what)

    async def events(self, tenant: str, job_id: str, *, after: int, limit: int) -> list[Event]:
        """Return entries of a job's history, as `store.jobs.history.History.events` does."""
        return await self._history.events(tenant, job_id, after=after, limit=limit)

    async def entries(self, record: Record, *, after: int, limit: int) -> list[bytes]:
        """Return entries of a job's history, as `store.jobs.history.History.entries` does."""
        return await self._history.entries(record.tenant, record.id, after=after, limit=limit)

    async def workers(self) -> list[Worker]:
        """Return the live workers."""
        return await read_workers(self._client)

    async def durations(self, device: str, like: str) -> list[calls.ClassDurations]:
        """Return how long finished jobs took; see `store.jobs.calls.durations`."""
        return await send_async(self._client, calls.durations(device, like))

    async def queue(self, tenant: str) -> Queue:
        """Return the numbers of queued and running jobs of *tenant*, and of live workers."""
        return await read_queue(self._client, tenant)


def _progress(
    state: bytes | None, rows: bytes, attempt: bytes, truncations: bytes | None, events: bytes
) -> Progress | None:
    if state is None:
        return None
    first = json.loads(truncations) if truncations else []
    return Progress(State(state.decode()), int(rows), int(attempt), first, int(events))
