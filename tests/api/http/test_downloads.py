"""Files of the storage as answers: what starlette would send, from files that may hang."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import FileResponse
from starlette.responses import Response

from api.http.downloads import Download
from store.storage.names import STORE
from store.storage.pool import StoragePool
from store.storage.storage import Storage

pytestmark = pytest.mark.anyio

ETAG = '"abc"'
ASKED: list[dict[str, str]] = [
    {},
    {"range": "bytes=0-0"},
    {"range": "bytes=4-99"},
    {"range": "bytes=-7"},
    {"range": "bytes=699990-"},
    {"range": "bytes=0-1,5-6,3-9"},
    {"range": "bytes=0-300000,400000-699999"},
    {"range": "bytes=700000-"},
    {"range": "bytes=9-3"},
    {"range": "lines=1-2"},
    {"range": "bytes"},
    {"range": "bytes=4-9", "if-range": ETAG},
    {"range": "bytes=4-9", "if-range": '"another"'},
    {"range": "bytes=4-9", "if-range": f"W/{ETAG}"},
    {"range": ",".join(["bytes=0-1", *["5-6"] * 200])},
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of several parts."""
    (tmp_path / "file").write_bytes(bytes(range(250)) * 2800)
    return tmp_path / "file"


async def sent(response: Response, method: str, headers: dict[str, str]) -> tuple[Any, ...]:
    """Return status, headers and body, with the random boundary of several ranges named alike."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    version = {"version": "3.0", "spec_version": "2.4"}
    scope = {"type": "http", "asgi": version, "method": method, "headers": raw, "path": "/"}
    await response(scope, receive, send)
    start, *parts = messages
    body = b"".join(part["body"] for part in parts)
    kind = dict(start["headers"]).get(b"content-type", b"")
    boundary = re.search(rb"boundary=(\w+)", kind)
    told = sorted((name, value) for name, value in start["headers"])
    if boundary is None:
        return start["status"], told, body
    found = boundary[1]
    named = [(name, value.replace(found, b"boundary")) for name, value in told]
    return start["status"], named, body.replace(found, b"boundary")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("headers", ASKED, ids=lambda asked: str(asked)[:60])
async def test_ranges_and_headers_equal_those_of_starlette(
    path: Path, method: str, headers: dict[str, str]
) -> None:
    more = {"filename": "model.bin", "media_type": "a/b", "headers": {"ETag": ETAG}}
    theirs = FileResponse(path, **more)  # type: ignore[arg-type]  # of different types
    file = await StoragePool(Storage(path.parent)).open("file")
    ours = Download(file, **more)  # type: ignore[arg-type]  # likewise

    found = await sent(ours, method, headers)

    assert found == await sent(theirs, method, headers)


async def test_a_file_removed_during_the_download_is_sent_whole(path: Path) -> None:
    file = await StoragePool(Storage(path.parent)).open("file")
    whole = path.read_bytes()

    path.unlink()
    response = Download(file, filename="a", media_type="a/b", headers={})
    status, _, body = await sent(response, "GET", {})

    assert (status, body) == (200, whole)


async def test_a_path_that_is_not_a_file_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / STORE).write_text("somebody's")
    pool = StoragePool(Storage(tmp_path))

    for name in ("jobs", "nothing"):
        with pytest.raises(FileNotFoundError, match=name):
            await pool.open(name)
