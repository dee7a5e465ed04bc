"""Exports: the rows of a job as CSV, NDJSON, Parquet or Arrow, streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from fastapi import Response
from fastapi.responses import StreamingResponse

from api.http.downloads import Download
from api.metrics.encoders import Encoder, Text
from optserve.contract.requests.exports import ExportForm
from store.jobs.record import Record
from store.jobs.views import Store
from store.redis.constants import CHUNK_ROWS

ROWS_PER_GROUP = 16 * CHUNK_ROWS
"""Rows read at a time for Parquet and Arrow: one row group."""
ROWS_PER_READ = 8 * CHUNK_ROWS
"""Rows read at a time for text. These rows stay in memory while the client does not read."""
ROWS_PER_ENCODING = 2 * CHUNK_ROWS
"""Rows encoded as text at a time. As Python objects, a row takes some hundred bytes."""
STEP = "step"
"""The first column of every export."""
SUFFIXES = {form: form.value for form in ExportForm} | {ExportForm.ARROW: "arrows"}
"""The suffix of the file name for each format."""


class Extract(NamedTuple):
    """
    The requested part of a job's rows.

    Attributes:
        first: number of the first row.
        stop: number of the row after the last one.
        columns: the names of the columns, in order.
    """

    first: int
    stop: int
    columns: tuple[str, ...]


def content() -> dict[str, Any]:
    """Return the media types of the exports, for OpenAPI."""
    text, binary = {"type": "string"}, {"type": "string", "format": "binary"}
    return {form.media_type: {"schema": text if form.is_text else binary} for form in ExportForm}


async def export(store: Store, record: Record, form: ExportForm, wanted: Extract) -> Response:
    """
    Return the response that streams the *wanted* part of a job's rows.

    The first rows are read before the response begins. If an error occurs in this time, it is
    raised. If rows are truncated in this time, the export starts over.

    Once the response has begun, an error or a truncation aborts the connection, so that a client
    never takes a part of the export for the whole.
    """
    headers = {"Vary": "Accept", "X-Content-Type-Options": "nosniff"}
    filename = f"{record.id}.{SUFFIXES[form]}"
    if form is ExportForm.PARQUET and wanted == (0, record.rows, record.series.columns):
        found = await store.file(record)
        if found is not None:
            file, stored = found
            headers["ETag"] = f'"{stored.sha256}"'
            return Download(file, filename=filename, media_type=form.media_type, headers=headers)
    head, parts = await _begin(store, record, form, wanted)
    headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    return StreamingResponse(_joined(head, parts), media_type=form.media_type, headers=headers)


async def _begin(
    store: Store, record: Record, form: ExportForm, wanted: Extract
) -> tuple[bytes, AsyncIterator[bytes]]:
    """Return the first bytes of an export, with its first rows, and an iterator over the rest."""

    async def begin(record: Record) -> tuple[bytes, AsyncIterator[bytes]]:
        stop = max(min(wanted.stop, record.rows), wanted.first)
        # In a thread, since the first Parquet or Arrow export of a process imports pyarrow.
        encoder = await asyncio.to_thread(_encoder, form, record, wanted.columns)
        rows_per_read = ROWS_PER_READ if form.is_text else ROWS_PER_GROUP
        rows = _rows(store, record, wanted._replace(stop=stop), rows_per_read)
        parts = _encoded(encoder, rows, record.series.width)
        return await anext(parts), parts

    return await store.untruncated(record, begin)


def _encoder(form: ExportForm, record: Record, columns: tuple[str, ...]) -> Encoder:
    if form.is_text:
        return Text(record.series, columns, csv=form is ExportForm.CSV)
    from api.metrics.columnar import Arrow, Parquet  # noqa: PLC0415  imports pyarrow

    kind: Callable[..., Encoder] = Parquet if form is ExportForm.PARQUET else Arrow
    return kind(record, columns)


async def _rows(
    store: Store, record: Record, wanted: Extract, rows_per_read: int
) -> AsyncIterator[tuple[int, bytes]]:
    """
    Yield the *wanted* rows in parts, each as (number of its first row, packed rows).

    Raises:
        TruncatedMeanwhile: rows of the job were truncated since *record* was read.
    """
    first = wanted.first
    while first < wanted.stop:
        # Reads end at multiples, so that an exported row group ends where a stored chunk does.
        count = min(rows_per_read - first % rows_per_read, wanted.stop - first)
        data = await store.data(record, first=first, count=count)
        # After each read: a response that has begun must not continue with rows of another run.
        await store.require_untruncated(record)
        yield first, data
        first += count


async def _encoded(
    encoder: Encoder, rows: AsyncIterator[tuple[int, bytes]], width: int
) -> AsyncIterator[bytes]:
    head = encoder.begin()
    step = (ROWS_PER_ENCODING if isinstance(encoder, Text) else ROWS_PER_GROUP) * width
    async for first, data in rows:
        for start in range(0, len(data), step):
            part = data[start : start + step]
            yield head + await asyncio.to_thread(encoder.rows, first + start // width, part)
            head = b""
    yield head + encoder.end()


async def _joined(head: bytes, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    del head  # else it would be held until the response ends, however slow the client is
    async for part in parts:
        if part:
            yield part
