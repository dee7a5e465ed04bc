"""The embedded server, wherever its home lies."""

import logging
import os
import signal
from pathlib import Path

import pytest
import redis
import redis.asyncio

from optserve.local.embedded import EmbeddedServer
from tests.support.machine.processes import eventually

NAMES = [
    "100%",
    "%41",
    "what?",
    "#1",
    "a b",
    " ",
    "new\nline",
    "tab\t",
    "ü€😀",
    "'\"\\",
    "@:&=+;",
    "*[a]",
]


@pytest.mark.anyio
@pytest.mark.parametrize("name", [*NAMES, "long" * 40], ids=ascii)
async def test_a_home_may_have_any_name(tmp_path: Path, name: str) -> None:
    with EmbeddedServer(tmp_path / name) as server:
        with redis.from_url(server.url) as client:
            client.set("a", "b")
        async with redis.asyncio.from_url(server.url) as patient:
            assert await patient.get("a") == b"b"

        assert [path.name for path in (tmp_path / name).iterdir()] == ["redis", "logs"]


def test_a_server_that_cannot_read_its_files_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its supervisor restarts it again and again."""
    server = EmbeddedServer(tmp_path)
    with server:
        os.kill(server.pid, signal.SIGKILL)
        with next((tmp_path / "redis" / "appendonlydir").glob("*.incr.aof")).open("ab") as file:
            file.write(b"garbage\n")

        def has_died_three_times() -> bool:
            server.supervise()
            return sum(" ended with exit code 1;" in entry.message for entry in caplog.records) >= 3

        eventually(has_died_three_times)

    told = [entry.message for entry in caplog.records if entry.levelno == logging.ERROR]
    assert len(told) == 1
    assert told[0].startswith("the embedded server cannot read its files in ")
    assert told[0].endswith(f"optserve doctor --home {tmp_path}")
