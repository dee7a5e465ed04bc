"""
Moves the older entries of a long history from Redis to files, while the job runs.

Each file holds a part of the history. To limit the number of files, eight parts of rank 0 are
joined into one part of rank 1, and eight parts of rank 1 into one part of rank 2. So the rank says
how often the entries of a part were joined.

Like every file in the storage, a part is valid only once the job's record points to it. If a crash
prevents this, the entries are still in Redis, and are moved later to another file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import redis

from optcore.files.files import StoredFile
from store.archive.reader import read_verified
from store.jobs import calls
from store.jobs.pointers import HistoryPart, history_parts
from store.redis import keys
from store.redis.constants import HISTORY_ENTRIES
from store.redis.functions import send
from store.storage.names import history_folder, unique
from store.storage.storage import Storage

ENTRIES_LEFT = HISTORY_ENTRIES // 2
"""Number of entries that stay in Redis: the latest, which are read most."""
JOINED = 8
"""Number of parts of one rank that are joined to one part of the next rank."""
HIGHEST_RANK = 2
"""Rank of the largest parts, of some 10,000 entries. They are not joined, since reading any entry
reads its whole part."""


def shorten(client: redis.Redis, storage: Storage, tenant: str, job_id: str) -> None:
    """
    Move all but the latest entries of a job's history to a file.

    The latest `ENTRIES_LEFT` entries stay in Redis. Do nothing if the history has no older entries,
    or if the job is archived.

    Raises:
        OSError: the storage is full, or returned another error; nothing was changed.
        ArchiveUnreadable: a part that was to be joined is damaged; nothing was changed.
    """
    names = ("history", "history_moved", "archive")
    known, moved, archive = _texts(client.hmget(keys.JOB % (tenant, job_id), names))
    entries: Any = client.lrange(keys.EVENTS % (tenant, job_id), 0, -1)
    count = len(entries) - ENTRIES_LEFT
    if archive or count <= 0:
        return
    before = history_parts(known)
    joined = _joined(before)
    text = b"".join(read_verified(storage, part) for part in joined)
    text += b"".join(entry + b"\n" for entry in entries[:count])
    part = HistoryPart(
        **asdict(_written(storage, tenant, job_id, text)),
        count=sum(each.count for each in joined) + count,
        rank=joined[0].rank + 1 if joined else 0,
    )
    files = [*before[: len(before) - len(joined)], part]
    call = calls.history_moved(
        tenant,
        job_id,
        moved=int(moved or 0),
        count=count,
        files=json.dumps([asdict(each) for each in files]),
        evaluated=_evaluated(entries[:count]),
    )
    outcome = send(client, call)
    # Only now: before the call, the record pointed to the parts that were joined.
    for each in joined if outcome == "ok" else [] if outcome == "already" else [part]:
        storage.delete(each.path)


def _joined(parts: Sequence[HistoryPart]) -> list[HistoryPart]:
    """
    Return those parts at the end of *parts* that are to be joined with the next part.

    The list is empty if the next part is not to be joined with others.
    """
    found: list[HistoryPart] = []
    for rank in range(HIGHEST_RANK):
        left = parts[: len(parts) - len(found)]
        same = [part for part in left[-(JOINED - 1) :] if part.rank == rank]
        if len(same) < JOINED - 1:
            break
        found = [*same, *found]
    return found


def _written(storage: Storage, tenant: str, job_id: str, text: bytes) -> StoredFile:
    storage.require_mounted("the storage is not mounted: it contains no file 'store'")
    return storage.put(unique(history_folder(tenant, job_id), "events.jsonl"), text)


def _evaluated(entries: Sequence[bytes]) -> list[int]:
    """Return the steps of the evaluations among *entries*."""
    # Few entries are evaluations, so the bytes are searched before any entry is parsed. Another
    # entry may contain these bytes in a text, so the kind is compared, too.
    told = [json.loads(entry) for entry in entries if b'"kind":"evaluated"' in entry]
    return [entry["data"]["step"] for entry in told if entry["kind"] == "evaluated"]


def _texts(values: Any) -> list[str]:  # noqa: ANN401  redis-py's types are unions over all forms
    return [value.decode() if value else "" for value in values]
