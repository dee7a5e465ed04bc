"""
Moves the rows and the history of an ended job from Redis to files in the storage.

Every file gets a unique name, and the file with the rows is compared with Redis bit for bit. Then a
single call points the job's record at the files and removes the data from Redis. A file is valid
only from then on.

After a crash before that call, the data is still in Redis, and is moved later to other files. The
files from before the crash are deleted once the record points to the later ones. If two processes
archive a job at the same time, the second one deletes the files that it has written.
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
Size in bytes above which the history of an ended job is moved to a file. The history of any job
that ran is longer; if a job was cancelled before it ran, its history is shorter and stays in Redis.
"""


class Differs(Exception):
    """The rows in Redis are incomplete, or they differ from the file that was written from them."""


def archive(client: redis.Redis, storage: Storage, tenant: str, job_id: str) -> None:
    """
    Move the rows of an ended job to a file, with the times at which they were stored.

    The job's history is moved to another file if it is longer than `HISTORY_BYTES`. Do nothing if
    the job does not exist, has not ended, or was archived before.

    Raises:
        OSError: the storage is full or not mounted, or returned another error; nothing was changed.
        Differs: Redis lacks some of the rows, or differs from a file that was written; nothing was
            changed.
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
        raise Differs(
            f"job {tenant}/{job_id} was changed while its rows and its history were written to "
            "files; nothing was archived"
        )


def _folder(storage: Storage, record: Record) -> str:
    """
    Return the folder for a job's archive, after checking that the storage is mounted.

    A storage that is not mounted looks empty, and a file written to it would be lost. So the
    storage must contain the file ``store``, which names the store that the files belong to. If the
    job has checkpoints or artifacts, the storage must contain the job's folder, too.
    """
    job = job_folder(record.tenant, record.id)
    if (record.checkpoints or record.artifacts) and not storage.entries(job):
        raise FileNotFoundError(2, "the folder of the job is missing or empty in the storage", job)
    storage.require_mounted("the storage is not mounted: it contains no file 'store'")
    return archive_folder(record.tenant, record.id)


def _rows(client: redis.Redis, storage: Storage, name: str, record: Record) -> StoredFile:
    """Write a job's rows to the file *name*, and compare the file with Redis bit for bit."""
    marks: Any = client.get(keys.MARKS % (record.tenant, record.id)) or b""
    words = Words(record.id, record.series, marks)
    with storage.create(name) as new, closing(Writer(new.write, words)) as writer:
        for first in range(0, record.rows, ROWS_PER_GROUP):
            writer.write(first, _stored(client, record, first))
    try:
        _compare(client, record, words, File(storage.local(name)))
    except BaseException:
        # Not left to the search for orphans, which deletes nothing in this folder before the record
        # points to a file there.
        storage.delete(name)
        raise
    return new.stored


def _compare(client: redis.Redis, record: Record, words: Words, file: File) -> None:
    """Raise `Differs` if *file* has other metadata than *words*, or other rows than Redis."""
    if (file.words, file.rows) != (words, record.rows):
        raise Differs(
            f"the archive file of job {record.id} must have {record.rows} rows and the metadata "
            f"{words}, got {file.rows} rows and the metadata {file.words}"
        )
    for first in range(0, record.rows, ROWS_PER_GROUP):
        if file.data(first, ROWS_PER_GROUP) != _stored(client, record, first):
            raise Differs(
                f"the archive file of job {record.id} differs from Redis in the row group that "
                f"begins with row {first}"
            )


def _stored(client: redis.Redis, record: Record, first: int) -> bytes:
    """Return the rows of one row group, from row *first* on, as Redis holds them."""
    count = min(ROWS_PER_GROUP, record.rows - first)
    # No transaction: rows of an ended job never change. If another process archives them now, bytes
    # are missing below.
    pipe = client.pipeline(transaction=False)
    for chunk, start, stop in record.series.stretches(first, count):
        pipe.getrange(keys.ROWS % (record.tenant, record.id, chunk), start, stop)
    data = b"".join(pipe.execute())
    if len(data) != count * record.series.width:
        raise Differs(
            f"Redis must hold all {record.rows} rows of job {record.id}, but lacks some of the "
            f"{count} rows from row {first} on"
        )
    return data
