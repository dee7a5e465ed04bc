"""Exports: the rows of a job in the forms that other programs read, streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from fastapi import Response
from fastapi.responses import FileResponse

from api.downloads import Download
from api.encoders import Encoder, Text
from jobs.errors import NotAcceptable, StoreUnavailable
from jobs.functions import CHUNK_ROWS
from jobs.record import Record
from jobs.store import Store

ROWS_READ = 16 * CHUNK_ROWS
"""Rows read from the store at a time: a row group of a file."""
ROWS_ENCODED = 2 * CHUNK_ROWS
"""Rows made text at a time: as objects each takes some hundred bytes."""
TRIES = 5
"""How often an export is begun again whose rows are cut before anything of it was sent."""
STEP = "step"
"""The column that every export begins with."""


class Form(StrEnum):
    """What metrics may be had as."""

    JSON = "json"
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"
    ARROW = "arrow"


MEDIA_TYPES = {
    Form.JSON: "application/json",
    Form.CSV: "text/csv",
    Form.NDJSON: "application/x-ndjson",
    Form.PARQUET: "application/vnd.apache.parquet",
    Form.ARROW: "application/vnd.apache.arrow.stream",
}
SUFFIXES = {**{form: form.value for form in Form}, Form.ARROW: "arrows"}
"""How names of files end."""
TEXTS = (Form.CSV, Form.NDJSON)


class Cut(Exception):
    """Rows that were sent are no longer those of the job; the rest cannot follow them."""


class Extract(NamedTuple):
    """
    What of a job's rows is wanted.

    Attributes:
        form: as what.
        first: number of the first row.
        stop: number behind the last one.
        columns: of the series, in this order.
    """

    form: Form
    first: int
    stop: int
    columns: tuple[str, ...]


def content() -> dict[str, Any]:
    """Return the media types of the exports, for OpenAPI."""
    text, binary = {"type": "string"}, {"type": "string", "format": "binary"}
    return {
        media_type: {"schema": text if form in TEXTS else binary}
        for form, media_type in MEDIA_TYPES.items()
        if form is not Form.JSON
    }


def preferred(accept: str) -> Form:
    """Return the form that an Accept header likes most; of equal ones the first, JSON."""
    if not accept.strip():
        return Form.JSON
    liked = {form: _liked(accept, media_type) for form, media_type in MEDIA_TYPES.items()}
    best = max(liked, key=lambda form: liked[form])
    if not liked[best] > 0:
        raise NotAcceptable(accept, MEDIA_TYPES.values())
    return best


def _liked(accept: str, media_type: str) -> float:
    """Return the weight of a media type, which is that of the narrowest range it is in."""
    ranges = ["*/*", media_type.partition("/")[0] + "/*", media_type]
    narrowest, weight = -1, 0.0
    for part in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        if kind in ranges and ranges.index(kind) > narrowest:
            narrowest, weight = ranges.index(kind), _weight(parameters)
    return weight


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


async def export(store: Store, record: Record, wanted: Extract, *, stall_s: float) -> Response:
    """
    Return *wanted* of a job's rows, in a form that is not JSON.

    What can be said to be wrong is raised here. Rows that are cut before anything was sent are not
    missed. What goes wrong once bytes are on their way breaks the connection: nobody takes a part
    for the whole. A client that takes nothing for *stall_s* seconds is cut off.
    """
    form, whole = wanted.form, (0, record.rows, record.series.columns)
    headers = {"Vary": "Accept", "X-Content-Type-Options": "nosniff"}
    filename = f"{record.id}.{SUFFIXES[form]}"
    if form is Form.PARQUET and wanted[1:] == whole:
        found = await store.file(record)
        if found is not None:
            path, kept = found
            headers["ETag"] = f'"{kept.sha256}"'
            return FileResponse(
                path, filename=filename, media_type=MEDIA_TYPES[form], headers=headers
            )
    begun, parts = await _begun(store, record, wanted)
    headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    return Download(
        _joined(begun, parts), media_type=MEDIA_TYPES[form], headers=headers, stall_s=stall_s
    )


async def _begun(
    store: Store, record: Record, wanted: Extract
) -> tuple[bytes, AsyncIterator[bytes]]:
    """Return the first bytes, whose rows were read: they are there; and the other ones."""
    for _ in range(TRIES):
        encoder = await asyncio.to_thread(_encoder, wanted.form, record, wanted.columns)
        parts = _encoded(encoder, _rows(store, record, wanted), record.series.width)
        try:
            return await anext(parts), parts
        except Cut:  # nothing was sent: what there is now will do
            record = await store.record(record.tenant, record.id)
            stop = max(min(wanted.stop, record.rows), wanted.first)
            wanted = wanted._replace(stop=stop)
        if not set(wanted.columns) <= set(record.series.columns):
            break
    raise StoreUnavailable(f"rows of job {record.id} are being cut; try again")


def _encoder(form: Form, record: Record, columns: tuple[str, ...]) -> Encoder:
    if form in TEXTS:
        return Text(record.series, columns, csv=form is Form.CSV)
    from api.columnar import Arrow, Parquet  # noqa: PLC0415  pyarrow, with the first one

    kind: Callable[..., Encoder] = Parquet if form is Form.PARQUET else Arrow
    return kind(record, columns)


async def _rows(store: Store, record: Record, wanted: Extract) -> AsyncIterator[tuple[int, bytes]]:
    """Yield rows, packed, each time with the number of the first; they are all of one run."""
    first = wanted.first
    while first < wanted.stop:
        count = min(ROWS_READ - first % ROWS_READ, wanted.stop - first)
        data = await store.data(record, first=first, count=count)
        progress = await store.progress(record.tenant, record.id)
        if progress.cuts != record.cuts or len(data) < count * record.series.width:
            raise Cut(f"rows of {record.id} were cut while they were read")
        yield first, data
        first += count


async def _encoded(
    encoder: Encoder, rows: AsyncIterator[tuple[int, bytes]], width: int
) -> AsyncIterator[bytes]:
    held = encoder.begin()
    step = (ROWS_ENCODED if isinstance(encoder, Text) else ROWS_READ) * width
    async for first, data in rows:
        for start in range(0, len(data), step):
            part = data[start : start + step]
            yield held + await asyncio.to_thread(encoder.rows, first + start // width, part)
            held = b""
    yield held + encoder.end()


async def _joined(begun: bytes, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield begun
    async for part in parts:
        if part:
            yield part
