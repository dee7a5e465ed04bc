"""The password of the store is made once, and lets the service do what it needs, and no more."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from optserve.local.embedded import EmbeddedServer
from store.redis import acl
from store.redis.server import prepare
from store.settings import Settings, with_password


@pytest.fixture
def folder(client: redis.Redis, tmp_path: Path) -> Iterator[Path]:
    """A folder with credentials that the server knows, but for its own default user."""
    acl.make(tmp_path)
    rules = [line.split()[1:] for line in (tmp_path / acl.USERS).read_text().splitlines()]
    for name, *given in rules:
        if name != "default":  # the server of these tests needs it
            untyped: Any = client
            untyped.execute_command("ACL", "SETUSER", name, *given)
    yield tmp_path
    client.acl_deluser("health", acl.USER)


@pytest.fixture
def service(folder: Path, server: EmbeddedServer) -> Iterator[redis.Redis]:
    """The service, as it connects."""
    url = server.url.replace("unix://", f"unix://{acl.USER}@")
    settings = Settings(OPTSERVE_REDIS_URL=url, redis_password_file=folder / "password")
    with redis.from_url(settings.store_url) as connected:
        yield connected


def test_they_are_made_once_and_readable_by_whom_they_concern(tmp_path: Path) -> None:
    acl.make(tmp_path)
    password, users = tmp_path / "password", tmp_path / "users.acl"
    first = password.read_text()
    users.unlink()

    acl.make(tmp_path)

    assert password.read_text() == first
    assert len(first) == 43
    assert first not in users.read_text()
    assert users.read_text().startswith("user default off ")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (password, users)]
    assert modes == [0o400, 0o444]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["password", "users.acl"]


def test_the_service_may_prepare_the_server(service: redis.Redis) -> None:
    service.function_list()
    prepare(service)


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("CONFIG", "SET", "appendfsync", "no"),
        ("EVAL", "return 1", "0"),
        ("FUNCTION", "FLUSH"),
        ("SHUTDOWN", "NOSAVE"),
        ("MODULE", "LIST"),
        ("ACL", "LIST"),
        ("REPLICAOF", "NO", "ONE"),
        ("KEYS", "*"),
        ("GET", "something:else"),
        ("PUBLISH", "elsewhere", "x"),
    ],
)
def test_the_service_may_do_nothing_else(service: redis.Redis, command: tuple[str, ...]) -> None:
    untyped: Any = service

    with pytest.raises(redis.exceptions.NoPermissionError):
        untyped.execute_command(*command)


def test_the_server_answers_only_pings_without_a_password(
    folder: Path, server: EmbeddedServer
) -> None:
    del folder
    url = with_password(server.url.replace("unix://", "unix://health@"), "any")
    with redis.from_url(url) as client:
        assert client.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("optserve:number")


def test_a_password_takes_the_place_of_one_in_the_url() -> None:
    assert with_password("redis://u:old@h:1/2", "p/@:%") == "redis://u:p%2F%40%3A%25@h:1/2"
    assert with_password("redis://h", "new") == "redis://:new@h"
