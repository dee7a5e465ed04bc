"""Reads the history of a job: its older entries from files, its latest entries from Redis."""

from __future__ import annotations

import json
from typing import Any

import redis.asyncio

from optserve.contract.answers.history import Event
from store.archive import reader
from store.archive.pooled import read_file
from store.errors import ArchiveUnreadable, JobNotFound, StoreUnavailable
from store.jobs.pointers import HistoryPart, history_parts, stored_files
from store.jobs.record import moment
from store.redis import keys
from store.storage.pool import StoragePool

TRIES = 5
"""Maximum number of times a history is read, if its entries are being moved to files meanwhile."""
MAX_ENTRIES = 2**53
"""A number of entries that no history reaches."""
RENAMED_KINDS = {"rows_cut": "rows_truncated"}
"""Stored kind of an entry -> the kind that clients see. Stored entries are never rewritten."""


class MovedMeanwhile(Exception):
    """Entries of a history were moved (from Redis or between files) while they were being read."""


class History:
    """
    Reads the histories of jobs, from an event loop.

    Args:
        client: the Redis client.
        files: the storage, which holds the entries that were moved to files.
    """

    def __init__(self, client: redis.asyncio.Redis, files: StoragePool) -> None:
        # redis-py types its replies as unions of text and bytes; this client returns bytes.
        self._client: Any = client
        self._files = files

    async def events(self, tenant: str, job_id: str, *, after: int, limit: int) -> list[Event]:
        """
        Return at most *limit* entries of a job's history, oldest first.

        Args:
            tenant: the job's tenant.
            job_id: the job's id.
            after: the number of an entry (the oldest is 1): only later entries are returned. 0
                to start with the oldest.
            limit: the maximum number of entries.

        Raises:
            JobNotFound: the job does not exist, or was removed.
            ArchiveUnreadable: a file that holds some of the entries is missing or damaged.
            StorageUnavailable: a file that holds some of the entries cannot be read now.
            StoreUnavailable: the entries were moved to files during every try to read them.
        """
        entries = await self.entries(tenant, job_id, after=after, limit=limit)
        return [_event(number, entry) for number, entry in enumerate(entries, after + 1)]

    async def entries(self, tenant: str, job_id: str, *, after: int, limit: int) -> list[bytes]:
        """
        Return at most *limit* entries of a job's history, oldest first, as they are stored.

        The method takes the same arguments as `events`, and raises the same errors.
        """
        # A client's cursor may be any integer; Redis rejects those of more than 64 bits.
        first = min(after, MAX_ENTRIES)
        for _ in range(TRIES):
            names = ("state", "history_moved")
            state, moved = await self._client.hmget(keys.JOB % (tenant, job_id), names)
            if state is None:
                raise JobNotFound(job_id)
            try:
                return await self._entries(tenant, job_id, int(moved or 0), first, limit)
            except MovedMeanwhile:
                continue
        raise StoreUnavailable(f"the history of job {job_id} is being moved to files; try again")

    async def _entries(
        self, tenant: str, job_id: str, moved: int, first: int, limit: int
    ) -> list[bytes]:
        """
        Return at most *limit* entries of a job's history after the entry with the number *first*.

        *moved* is the number of entries that were moved to files while the job ran.
        """
        start = max(first - moved, 0)
        stop = max(first + limit - moved, 0)
        # One transaction, so that the list and the count of moved entries match.
        pipe = self._client.pipeline(transaction=True)
        # LRANGE includes its end, and -1 is the last entry. An end before the first entry returns
        # nothing, which is right if all requested entries are in files.
        pipe.lrange(keys.EVENTS % (tenant, job_id), start, stop - 1 if stop else -MAX_ENTRIES)
        pipe.hmget(keys.JOB % (tenant, job_id), ("history", "history_moved", "archive"))
        last, (parts, now_moved, files) = await pipe.execute()
        if int(now_moved or 0) != moved:
            raise MovedMeanwhile
        # An archived job has no list in Redis any more: this file begins where the list began, with
        # the entry after those that were moved while the job ran.
        file = stored_files(files or b"{}").get("events")
        if file is not None and stop:
            last = await read_file(
                self._files, reader.events, file, first=start, count=stop - start
            )
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
            return await read_file(self._files, reader.events, part, first=first, count=count)
        except ArchiveUnreadable:
            # Parts are deleted as soon as they were joined to a larger one
            # (`store.archive.histories`): a part that the record still names is lost, a part that
            # the record no longer names was only read too late.
            parts = await self._client.hget(keys.JOB % (tenant, job_id), "history")
            if part in history_parts(parts or b"[]"):
                raise
            raise MovedMeanwhile from None  # this part was joined with others


def _event(number: int, entry: bytes) -> Event:
    fields = json.loads(entry)
    kind = RENAMED_KINDS.get(fields["kind"], fields["kind"])
    return Event.model_validate({**fields, "id": number, "at": moment(fields["at"]), "kind": kind})
