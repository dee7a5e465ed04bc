"""A storage that fails: requests get an error, no file counts as damaged, none is left over."""

from __future__ import annotations

import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import redis

from optserve.local.stack import Stack
from tests.support.http.hung_files import PATIENCE_S, Jobs
from tests.support.machine.faulty_files import FaultyFiles
from tests.support.machine.processes import eventually
from tests.support.store.parents import Parent

pytestmark = pytest.mark.long

WHAT = {
    "EROFS": "cannot be used now: Read-only file system",
    "EIO": "cannot be used now: Input/output error",
    "ESTALE": "cannot be used now: Stale file handle",
    "EACCES": "cannot be used now: Permission denied",
    "EMFILE": "cannot be used now: Too many open files",
    "ENOENT": "cannot be used: the storage is not mounted",
}
LARGE = 64 * 2**20
"""Bytes that no buffer between here and there holds."""


def folders(home: Path) -> set[Path]:
    return set((home / "storage" / "jobs" / "local").iterdir())


@pytest.mark.parametrize("mode", WHAT)
def test_errors_of_the_file_system_are_a_503_until_they_are_over(
    running: Stack, files: FaultyFiles, jobs: Jobs, home: Path, mode: str
) -> None:
    job = f"/v1/jobs/{jobs.ended}"
    reads = [f"{job}/artifacts/model.safetensors", f"{job}/events", f"{job}/metrics?format=parquet"]
    before = folders(home)

    with httpx.Client(base_url=running.url, timeout=30) as http:
        with files.broken(mode):
            read = [http.get(path) for path in reads]
            cloned = http.post(f"{job}/clone", json={})
        struck = files.struck
        after = [http.get(path).status_code for path in reads]
        again = http.post(f"{job}/clone", json={})

    assert struck
    for answer in (cloned, *(read if mode != "EROFS" else [])):
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (503, "storage_unavailable")
        assert problem["detail"].endswith(WHAT[mode])
        assert answer.headers["retry-after"]
    if mode == "EROFS":
        assert {answer.status_code for answer in read} == {200}
    assert (after, again.status_code) == ([200, 200, 200], 201)
    if mode != "EMFILE":  # what cannot be opened cannot be cleared away: the house does, later
        assert folders(home) == before | {home_of(home, again)}


def home_of(home: Path, clone: httpx.Response) -> Path:
    return home / "storage" / "jobs" / "local" / str(clone.json()["id"])


def test_nothing_is_written_where_a_storage_is_not_mounted(
    running: Stack, jobs: Jobs, home: Path
) -> None:
    """What is left of a mount that is away is an empty folder, as good as any to write to."""
    job = f"/v1/jobs/{jobs.ended}"
    storage, mounted = home / "storage", home / "mounted"
    with httpx.Client(base_url=running.url, timeout=30) as http:
        storage.rename(mounted)
        try:
            storage.mkdir()
            answers = [
                http.post(f"{job}/clone", json={}),
                http.get(f"{job}/artifacts/model.safetensors"),
                http.post(f"{job}/clone", json={}),
            ]
            written = list(storage.iterdir())
        finally:
            shutil.rmtree(storage)
            mounted.rename(storage)
        after = http.post(f"{job}/clone", json={})

    assert written == []
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
        assert answer.json()["detail"].endswith(WHAT["ENOENT"])
    assert after.status_code == 201


@pytest.mark.parametrize("mode", ["ENOSPC", "EDQUOT"])
def test_a_full_storage_is_a_503_that_says_so(
    running: Stack, files: FaultyFiles, jobs: Jobs, mode: str
) -> None:
    with files.broken(mode):
        answer = httpx.post(f"{running.url}/v1/jobs/{jobs.ended}/clone", json={})

    assert (answer.status_code, answer.json()["code"]) == (503, "storage_full")


def test_a_clone_that_timed_out_leaves_no_files(
    running: Stack, files: FaultyFiles, jobs: Jobs, home: Path
) -> None:
    before = folders(home)

    with files.broken("hang", match="parent/model.safetensors", after=3):
        answer = httpx.post(f"{running.url}/v1/jobs/{jobs.ended}/clone", json={})
        assert folders(home) != before

    assert answer.status_code == 503
    assert f"could not be copied within {PATIENCE_S:g}" in answer.json()["detail"]
    eventually(lambda: folders(home) == before)


def test_the_timeout_of_a_clone_grows_with_its_size(
    running: Stack, files: FaultyFiles, store: redis.Redis, home: Path
) -> None:
    parent = Parent(store, home / "storage")
    parent.succeeded(bytes(20 * 2**20))
    start = time.monotonic()

    with files.broken("hang", match="parent/model.safetensors", after=5):
        answer = httpx.post(f"{running.url}{parent.path}", json={}, timeout=60)
        took_s = time.monotonic() - start

    assert answer.status_code == 503
    assert f"could not be copied within {PATIENCE_S + 2:g} s" in answer.json()["detail"]
    assert took_s > PATIENCE_S + 2


@pytest.mark.parametrize("mode", ["hang", "EIO"])
def test_a_download_that_fails_midway_aborts_the_connection(
    running: Stack, files: FaultyFiles, store: redis.Redis, home: Path, mode: str
) -> None:
    parent = Parent(store, home / "storage")
    parent.succeeded(bytes(LARGE))
    path = f"/v1/jobs/{parent.id}/artifacts/model.safetensors"
    address = urlsplit(running.url)

    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        client.recv(100)
        with files.broken(mode, match="model.safetensors"):
            eventually(lambda: files.struck > 0 or not received(client))
            rest = received(client)
            answers = httpx.get(f"{running.url}/healthz").status_code

    assert rest < LARGE
    assert answers == 200


def received(client: socket.socket) -> int:
    """Return how many bytes come until the connection ends."""
    found = 0
    with suppress(ConnectionResetError):
        while part := client.recv(2**20):
            found += len(part)
    return found
