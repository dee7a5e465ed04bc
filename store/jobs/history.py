"""The history of a job, wherever its entries lie: the first in files, the last in the store."""

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
"""How often a history is read again whose entries are moved meanwhile."""
MAX_ENTRIES = 2**53
"""More than any history has."""
RENAMED_KINDS = {"rows_cut": "rows_truncated"}
"""Stored kind -> the kind that clients see. Stored entries never change, so both stay."""


class MovedMeanwhile(Exception):
    """Entries of a history were moved to another file while they were read."""


class History:
    """
    Reads histories, for an event loop.

    Args:
        client: of the server.
        files: where entries lie that were moved.
    """

    def __init__(self, client: redis.asyncio.Redis, files: StoragePool) -> None:
        # Its types are unions over text and bytes; ours gives bytes.
        self._client: Any = client
        self._files = files

    async def events(self, tenant: str, job_id: str, *, after: int, limit: int) -> list[Event]:
        """
        Return a job's history after the entry *after*, oldest first, *limit* at most.

        Raises:
            JobNotFound: it was removed long after it ended.
            ArchiveUnreadable: it lies in a file that is missing or damaged.
            StorageUnavailable: it lies in a file that cannot be read now.
        """
        # A client's cursor may be any integer; the server refuses those of more than 64 bits.
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
        """Return entries of a history, *moved* of which lie in files written while its job ran."""
        start = max(first - moved, 0)
        stop = max(first + limit - moved, 0)
        # One transaction: entries and the count of those that were moved are of the same moment.
        pipe = self._client.pipeline(transaction=True)
        # LRANGE includes its end, and -1 would be the last entry. An end before the first one gives
        # none, as is wanted where all that was asked for lies in files.
        pipe.lrange(keys.EVENTS % (tenant, job_id), start, stop - 1 if stop else -MAX_ENTRIES)
        pipe.hmget(keys.JOB % (tenant, job_id), ("history", "history_moved", "archive"))
        last, (parts, now_moved, files) = await pipe.execute()
        if int(now_moved or 0) != moved:
            raise MovedMeanwhile
        # A job that was archived has no list any more: this file begins where the list began, with
        # the entry after those that had been moved while the job ran.
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
            # (`store.archive.histories`): one that the record still names is lost, one that it no
            # longer names was only read too late.
            parts = await self._client.hget(keys.JOB % (tenant, job_id), "history")
            if part in history_parts(parts or b"[]"):
                raise
            raise MovedMeanwhile from None  # it was joined with others


def _event(number: int, entry: bytes) -> Event:
    fields = json.loads(entry)
    kind = RENAMED_KINDS.get(fields["kind"], fields["kind"])
    return Event.model_validate({**fields, "id": number, "at": moment(fields["at"]), "kind": kind})
