"""Exports of a job's steps: every form, from the store and from the file, bit for bit."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from fastapi.responses import StreamingResponse

from api.metrics.exports import Extract, export
from optserve.contract.requests.exports import ExportForm
from optserve.contract.requests.job import JobSpec
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.jobs.series import Series
from store.jobs.views import Store, TruncatedMeanwhile
from store.redis import keys
from store.redis.functions import send
from store.settings import Settings
from store.storage.names import job_folder
from store.storage.storage import Storage
from tests.support.http.exports import MEDIA_TYPES, metrics_of
from tests.support.machine.processes import eventually
from tests.support.store.protocol import LEASE_MS, SPEC, append, begin, some_rows, submit
from tests.support.store.rounds import Rounds

pytestmark = pytest.mark.anyio

WIDE = Series(("lr", "loss", "grad_norm"), 3)
STRANGE = [0.0, -0.0, 5e-324, -2.5e-310, 1.7976931348623157e308, 1e22, 1e-7, 0.1, 1 / 3]
NOT_FINITE = [float("nan"), float("inf"), -float("inf")]
ROWS = 70_000
"""More than are read from the store at a time."""


def bits_of(rng: np.random.Generator, rows: int) -> bytes:
    """Rows of random bit patterns, with NaN payloads among them, and of strange numbers."""
    values = rng.integers(0, 2**64, size=(rows, 3), dtype=np.uint64).view("<f8")
    values[: len(STRANGE), 0], values[: len(NOT_FINITE), 1] = STRANGE, NOT_FINITE
    values[5, 1] = np.uint64(0x7FF0000000000001).view("<f8")  # a signalling NaN
    values[6, 1] = np.uint64(0xFFF8000000C0FFEE).view("<f8")
    return values.tobytes()


def running(client: redis.Redis, data: bytes, series: Series = WIDE) -> Claim:
    """A running job with these rows."""
    fields = new_fields(JobSpec.parse(SPEC)) | series.fields()
    fields["total"] = str(len(data) // series.width)
    send(client, calls.submit("local", new_id(), fields, idempotency_key="", body_sha="sha"))
    held = begin(client, os.urandom(16).hex())
    step = 10_000 * series.width
    for start in range(0, len(data), step):
        part = data[start : start + step]
        first = start // series.width
        call = calls.append(held, first=first, width=series.width, data=part, lease_ms=LEASE_MS)
        send(client, call)
    return held


def end(client: redis.Redis, held: Claim, home: Path) -> None:
    """End a job and move its rows to a file."""
    storage = Storage(home / "storage")
    (storage.root / job_folder("local", held.job_id)).mkdir(parents=True)
    send(client, calls.fail(held, reason="error", detail="enough"))
    Rounds(client, storage, Settings()).run()
    eventually(lambda: client.zcard(keys.UNARCHIVED) == 0)  # the service may be at it too


@pytest.fixture(scope="module")
def data() -> bytes:
    return bits_of(np.random.default_rng(1), ROWS)


@pytest.fixture(params=["running", "ended"])
def job_id(client: redis.Redis, data: bytes, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A job with these rows: in the store, and in a file."""
    held = running(client, data)
    if request.param == "ended":
        end(client, held, tmp_path)
    return held.job_id


def from_csv(content: bytes) -> tuple[list[str], np.ndarray[Any, Any]]:
    names, *lines = csv.reader(io.StringIO(content.decode()))
    return names, np.array([[float(value) for value in line] for line in lines])


def from_ndjson(content: bytes) -> tuple[list[str], np.ndarray[Any, Any]]:
    rows = [json.loads(line) for line in content.splitlines()]
    return list(rows[0]), np.array([[float(value) for value in row.values()] for row in rows])


def from_table(table: Any) -> tuple[list[str], np.ndarray[Any, Any]]:
    columns = [column.to_numpy().astype("<f8") for column in table.columns]
    return table.column_names, np.column_stack(columns)


def from_parquet(content: bytes) -> tuple[list[str], np.ndarray[Any, Any]]:
    return from_table(pq.read_table(io.BytesIO(content)))


def from_arrow(content: bytes) -> tuple[list[str], np.ndarray[Any, Any]]:
    return from_table(pa.ipc.open_stream(content).read_all())


READERS: dict[str, Callable[[bytes], tuple[list[str], np.ndarray[Any, Any]]]] = {
    "csv": from_csv,
    "ndjson": from_ndjson,
    "parquet": from_parquet,
    "arrow": from_arrow,
}


def same_bits(form: str, found: np.ndarray[Any, Any], data: bytes) -> bool:
    """Whether values are those of *data*; text has one NaN only."""
    wanted = np.frombuffer(data, "<f8").reshape(-1, 3).copy()
    found = np.ascontiguousarray(found[:, 1:])
    if form in ("csv", "ndjson"):
        assert np.array_equal(np.isnan(found), np.isnan(wanted))
        wanted[np.isnan(wanted)] = found[np.isnan(found)] = 0.0
    return found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("form", READERS)
async def test_exported_doubles_are_exact_to_the_bit(
    http: httpx.AsyncClient, data: bytes, job_id: str, form: str
) -> None:
    answer = await http.get(metrics_of(job_id), headers={"Accept": MEDIA_TYPES[form]})

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == MEDIA_TYPES[form]
    suffix = "arrows" if form == "arrow" else form
    assert answer.headers["content-disposition"] == f'attachment; filename="{job_id}.{suffix}"'
    names, found = READERS[form](answer.content)
    assert names == ["step", *WIDE.columns]
    assert np.array_equal(found[:, 0], np.arange(ROWS))
    assert same_bits(form, found, data)


@pytest.mark.parametrize("form", READERS)
async def test_some_columns_of_some_rows(
    http: httpx.AsyncClient, data: bytes, job_id: str, form: str
) -> None:
    query = f"format={form}&columns=grad_norm,lr&after=65529&limit=12"

    answer = await http.get(f"{metrics_of(job_id)}?{query}")

    names, found = READERS[form](answer.content)
    wanted = np.frombuffer(data, "<f8").reshape(-1, 3)[65_530:65_542, [2, 0]]
    assert names == ["step", "grad_norm", "lr"]
    assert found[:, 0].tolist() == list(range(65_530, 65_542))
    kept = ~np.isnan(wanted)
    assert np.array_equal(found[:, 1:][kept], wanted[kept])
    assert np.isnan(found[:, 1:][~kept]).all()


async def test_numbers_are_written_as_the_shortest_exact_text(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    rows = [(0.1, float("nan"), -0.0), (1e-7, float("inf"), 1e22), (5e-324, -float("inf"), 3.0)]
    path = metrics_of(running(client, WIDE.pack(rows)).job_id)

    as_csv = (await http.get(path, params={"format": "csv"})).text
    as_ndjson = (await http.get(path, params={"format": "ndjson"})).text

    assert as_csv == (
        "step,lr,loss,grad_norm\n0,0.1,NaN,-0.0\n1,1e-7,Infinity,1e+22\n2,5e-324,-Infinity,3.0\n"
    )
    assert as_ndjson.splitlines()[:2] == [
        '{"step":0,"lr":0.1,"loss":"NaN","grad_norm":-0.0}',
        '{"step":1,"lr":1e-7,"loss":"Infinity","grad_norm":1e+22}',
    ]


@pytest.mark.parametrize("form", READERS)
async def test_a_job_without_rows_has_an_empty_export(
    http: httpx.AsyncClient, client: redis.Redis, form: str
) -> None:
    answer = await http.get(metrics_of(submit(client)), params={"format": form})

    assert answer.status_code == 200
    if form == "csv":
        assert answer.text == "step,lr,loss\n"
    elif form == "ndjson":
        assert answer.text == ""
    else:
        names, found = READERS[form](answer.content)
        assert (names, len(found)) == (["step", "lr", "loss"], 0)


async def test_the_complete_parquet_export_of_an_ended_job_is_its_file(
    http: httpx.AsyncClient, client: redis.Redis, tmp_path: Path
) -> None:
    held = running(client, bits_of(np.random.default_rng(3), 5000))
    end(client, held, tmp_path)
    path = f"{metrics_of(held.job_id)}?format=parquet"

    whole = await http.get(path)
    part = await http.get(path, headers={"Range": "bytes=4-99"})

    (file,) = (tmp_path / "storage" / "jobs" / "local" / held.job_id / "archive").iterdir()
    assert whole.content == file.read_bytes()
    assert whole.headers["content-length"] == str(file.stat().st_size)
    assert (part.status_code, part.content) == (206, whole.content[4:100])
    assert part.headers["etag"] == whole.headers["etag"]
    assert pq.read_metadata(file).metadata[b"optserve.job"] == held.job_id.encode()


async def test_a_limit_beyond_the_end_gives_all_rows(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held = running(client, Series().pack(some_rows(0, 5)), Series())
    query = f"format=csv&after=2&limit={10**30}"

    answer = await http.get(f"{metrics_of(held.job_id)}?{query}")

    assert [line.partition(",")[0] for line in answer.text.splitlines()] == ["step", "3", "4"]


def test_the_test_data_has_every_hard_case(data: bytes) -> None:
    patterns = {struct.unpack("<Q", data[i : i + 8])[0] for i in range(0, 240, 8)}
    assert {0x7FF0000000000001, 0xFFF8000000C0FFEE, 1 << 63} <= patterns


@pytest.mark.parametrize("form", [ExportForm.CSV, ExportForm.PARQUET])
async def test_rows_appended_during_an_export_are_not_in_it(
    client: redis.Redis, store: Store, data: bytes, form: ExportForm
) -> None:
    held = running(client, data)
    record = await store.record("local", held.job_id)
    wanted = Extract(0, record.rows, record.series.columns)

    answer = await export(store, record, form, wanted)
    assert isinstance(answer, StreamingResponse)
    parts = aiter(answer.body_iterator)
    content = bytes(await anext(parts))  # type: ignore[arg-type]  # may be text elsewhere
    append(client, held, ROWS, [(1.0, 2.0, 3.0)] * 2, WIDE)
    content += b"".join([bytes(part) async for part in parts])  # type: ignore[arg-type]  # likewise

    assert (await store.record("local", held.job_id)).rows == ROWS + 2
    _, found = READERS[form](content)
    assert same_bits(form, found, data)


async def test_an_export_breaks_off_if_its_rows_are_truncated_meanwhile(
    client: redis.Redis, store: Store, data: bytes
) -> None:
    held = running(client, data)
    record = await store.record("local", held.job_id)

    answer = await export(store, record, ExportForm.CSV, Extract(0, record.rows, ("lr",)))
    assert isinstance(answer, StreamingResponse)
    parts = aiter(answer.body_iterator)
    await anext(parts)
    send(client, calls.release(held, why="test"))
    send(client, calls.restart("local", held.job_id))

    with pytest.raises(TruncatedMeanwhile):
        [part async for part in parts]
