"""
What the store has of the steps of a job that has ended, moved to files in the storage.

A file is real once the record points to it: it is written under a name of its own and compared with
the store bit for bit; then one function of the store sets the pointer and removes the rows. A crash
in between leaves an orphan, which is deleted once there is a pointer, and rows that move later. Of
two processes that do this at once one is first, and the other deletes what it has written.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import Any

import redis

from optcore.files.files import StoredFile
from store.archive.parquet import ROWS_PER_GROUP, File, Words, Writer
from store.jobs import calls
from store.jobs.record import Record
from store.redis import keys
from store.redis.functions import send
from store.storage.names import archive_folder, job_folder, unique
from store.storage.storage import Storage

HISTORY_BYTES = 512
"""
Longer histories are moved too: those of all jobs that ran. A job that was cancelled before it did
needs no file.
"""


class Differs(Exception):
    """The store has not got what the record says, or the file has not got what the store has."""


def archive(client: redis.Redis, storage: Storage, tenant: str, job_id: str) -> None:
    """
    Move rows, times and a long history of a job that has ended to files; do nothing twice.

    Raises:
        OSError: the storage is full, or away; nothing has changed.
        Differs: what was written is not what there is; nothing has changed.
    """
    record = send(client, calls.look(tenant, job_id))
    if record is None or not record.state.final or "archive" in record.fields:
        return
    entries: Any = client.lrange(keys.EVENTS % (tenant, job_id), 0, -1)
    long = sum(map(len, entries)) > HISTORY_BYTES
    made: dict[str, StoredFile] = {}
    if record.rows or long:
        folder = _folder(storage, record)
        if record.rows:
            made["rows"] = _rows(client, storage, unique(folder, "rows.parquet"), record)
        if long:
            text = b"".join(entry + b"\n" for entry in entries)
            made["events"] = storage.put(unique(folder, "events.jsonl"), text)
    files = {name: asdict(stored) for name, stored in made.items()}
    call = calls.archived(
        tenant,
        job_id,
        rows=record.rows,
        entries=record.history_moved + len(entries),
        files=files,
    )
    outcome = send(client, call)
    if outcome != "ok":
        for stored in made.values():
            storage.delete(stored.path)
    if outcome == "differs":
        raise Differs(f"{tenant}/{job_id} is not what it was when its files were written")


def _folder(storage: Storage, record: Record) -> str:
    """
    Return the folder to write to; that of the job is there if it has other files.

    A storage that is not mounted looks empty: what is written now would be gone later.
    """
    job = job_folder(record.tenant, record.id)
    if (record.checkpoints or record.artifacts) and not storage.entries(job):
        raise FileNotFoundError(2, "the storage has not got the other files of this job", job)
    storage.require_mounted("the storage belongs to no store yet")
    return archive_folder(record.tenant, record.id)


def _rows(client: redis.Redis, storage: Storage, name: str, record: Record) -> StoredFile:
    """Write the rows of a job to a file that holds, bit for bit, what the store does."""
    marks: Any = client.get(keys.MARKS % (record.tenant, record.id)) or b""
    words = Words(record.id, record.series, marks)
    with storage.create(name) as new, closing(Writer(new.write, words)) as writer:
        for first in range(0, record.rows, ROWS_PER_GROUP):
            writer.write(first, _stored(client, record, first))
    try:
        _compare(client, record, words, File(storage.local(name)))
    except BaseException:
        storage.delete(name)
        raise
    return new.stored


def _compare(client: redis.Redis, record: Record, words: Words, file: File) -> None:
    """Raise `Differs` unless *file*, read anew, holds the words and the rows of the store."""
    if (file.words, file.rows) != (words, record.rows):
        raise Differs(f"{record.id}: the file says {file.words} of {file.rows} rows")
    for first in range(0, record.rows, ROWS_PER_GROUP):
        if file.data(first, ROWS_PER_GROUP) != _stored(client, record, first):
            raise Differs(f"{record.id}: rows from {first} on come back as others")


def _stored(client: redis.Redis, record: Record, first: int) -> bytes:
    """Return a row group of rows as the store has them."""
    count = min(ROWS_PER_GROUP, record.rows - first)
    pipe = client.pipeline(transaction=False)
    for chunk, start, stop in record.series.stretches(first, count):
        pipe.getrange(keys.ROWS % (record.tenant, record.id, chunk), start, stop)
    data = b"".join(pipe.execute())
    if len(data) != count * record.series.width:
        raise Differs(f"{record.id}: the store lacks rows from {first} on, of {record.rows}")
    return data
