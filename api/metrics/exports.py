"""Exports: the rows of a job in the forms that other programs read, streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from fastapi import Response
from fastapi.responses import StreamingResponse

from api.http.downloads import Download
from api.metrics.encoders import Encoder, Text
from optserve.contract.requests.exports import ExportForm
from store.errors import StoreUnavailable
from store.jobs.record import Record
from store.jobs.views import Store
from store.redis.constants import CHUNK_ROWS

ROWS_OF_A_GROUP = 16 * CHUNK_ROWS
"""Rows read from the store at a time for a file: a row group."""
ROWS_READ = 8 * CHUNK_ROWS
"""The same for text: a client that does not read keeps them for a while."""
ROWS_ENCODED = 2 * CHUNK_ROWS
"""Rows made text at a time: as objects each takes some hundred bytes."""
TRIES = 5
"""How often an export is begun again whose rows are cut before anything of it was sent."""
STEP = "step"
"""The column that every export begins with."""
SUFFIXES = {form: form.value for form in ExportForm} | {ExportForm.ARROW: "arrows"}
"""How names of files end."""


class Cut(Exception):
    """Rows that were sent are no longer those of the job; the rest cannot follow them."""


class Extract(NamedTuple):
    """
    What of a job's rows is wanted.

    Attributes:
        first: number of the first row.
        stop: number behind the last one.
        columns: of the series, in this order.
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
    Return *wanted* of a job's rows.

    What can be said to be wrong is raised here. Rows that are cut before anything was sent are not
    missed. What goes wrong once bytes are on their way breaks the connection: nobody takes a part
    for the whole.
    """
    headers = {"Vary": "Accept", "X-Content-Type-Options": "nosniff"}
    filename = f"{record.id}.{SUFFIXES[form]}"
    if form is ExportForm.PARQUET and wanted == (0, record.rows, record.series.columns):
        found = await store.file(record)
        if found is not None:
            file, kept = found
            headers["ETag"] = f'"{kept.sha256}"'
            return Download(file, filename=filename, media_type=form.media_type, headers=headers)
    begun, parts = await _begun(store, record, form, wanted)
    headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    return StreamingResponse(_joined(begun, parts), media_type=form.media_type, headers=headers)


async def _begun(
    store: Store, record: Record, form: ExportForm, wanted: Extract
) -> tuple[bytes, AsyncIterator[bytes]]:
    """Return the first bytes, whose rows were read: they are there; and the other ones."""
    for _ in range(TRIES):
        encoder = await asyncio.to_thread(_encoder, form, record, wanted.columns)
        at_a_time = ROWS_READ if form.is_text else ROWS_OF_A_GROUP
        rows = _rows(store, record, wanted, at_a_time)
        parts = _encoded(encoder, rows, record.series.width)
        try:
            return await anext(parts), parts
        except Cut:  # nothing was sent: what there is now will do
            record = await store.record(record.tenant, record.id)
            stop = max(min(wanted.stop, record.rows), wanted.first)
            wanted = wanted._replace(stop=stop)
        if not set(wanted.columns) <= set(record.series.columns):
            break
    raise StoreUnavailable(f"rows of job {record.id} are being cut; try again")


def _encoder(form: ExportForm, record: Record, columns: tuple[str, ...]) -> Encoder:
    if form.is_text:
        return Text(record.series, columns, csv=form is ExportForm.CSV)
    from api.metrics.columnar import Arrow, Parquet  # noqa: PLC0415  pyarrow, with the first one

    kind: Callable[..., Encoder] = Parquet if form is ExportForm.PARQUET else Arrow
    return kind(record, columns)


async def _rows(
    store: Store, record: Record, wanted: Extract, at_a_time: int
) -> AsyncIterator[tuple[int, bytes]]:
    """Yield rows, packed, each time with the number of the first; they are all of one run."""
    first = wanted.first
    while first < wanted.stop:
        count = min(at_a_time - first % at_a_time, wanted.stop - first)
        data = await store.data(record, first=first, count=count)
        progress = await store.progress(record.tenant, record.id)
        if progress.cuts != record.truncations or len(data) < count * record.series.width:
            raise Cut(f"rows of {record.id} were cut while they were read")
        yield first, data
        first += count


async def _encoded(
    encoder: Encoder, rows: AsyncIterator[tuple[int, bytes]], width: int
) -> AsyncIterator[bytes]:
    held = encoder.begin()
    step = (ROWS_ENCODED if isinstance(encoder, Text) else ROWS_OF_A_GROUP) * width
    async for first, data in rows:
        for start in range(0, len(data), step):
            part = data[start : start + step]
            yield held + await asyncio.to_thread(encoder.rows, first + start // width, part)
            held = b""
    yield held + encoder.end()


async def _joined(begun: bytes, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield begun
    del begun  # a client that does not read on has it, or never will
    async for part in parts:
        if part:
            yield part
