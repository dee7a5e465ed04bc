"""The embedded server, wherever its home lies."""

from pathlib import Path

import pytest
import redis
import redis.asyncio

from optserve.embedded import EmbeddedServer

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
