"""Homes of local stacks, with jobs in them, and what `optserve doctor` says of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from typer.testing import CliRunner, Result

from optserve.cli.main import app
from optserve.local.embedded import EmbeddedServer
from store.archive.writer import archive
from store.jobs import calls
from store.redis.functions import send
from store.redis.server import prepare
from store.storage.names import job_folder
from store.storage.storage import Storage
from store.storage.usable import require_usable
from tests.support.store.protocol import append, begin, some_rows, submit


def doctor(home: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["doctor", "--home", str(home), *args])


def problems(done: Result) -> list[str]:
    assert done.exit_code == ("PROBLEM" in done.output), done.output
    return [line for line in done.output.splitlines() if line.startswith("PROBLEM")]


@contextmanager
def store(home: Path) -> Iterator[redis.Redis]:
    """A client of the embedded server of that home."""
    with EmbeddedServer(home) as server, redis.from_url(server.url) as client:
        prepare(client)
        yield client


def ended(client: redis.Redis, storage: Storage) -> str:
    """Return a job that has ended, and whose rows were moved to a file."""
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 10))
    (storage.root / job_folder("local", job_id)).mkdir(parents=True)
    require_usable(client, storage)
    send(client, calls.fail(held, reason="error", detail="enough"))
    archive(client, storage, "local", job_id)
    return job_id


def commands(home: Path) -> Path:
    """Return the file of commands of that home's server."""
    (path,) = (home / "redis" / "appendonlydir").glob("*.incr.aof")
    return path


def home_with_jobs(home: Path) -> Path:
    """Return *home* with a job that has ended, one that waits and one that runs."""
    with store(home) as client:
        ended(client, Storage(home / "storage"))
        running = submit(client)
        begin(client, "t2")
        submit(client)
        client.set("last", running)
    return home
