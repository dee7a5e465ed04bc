"""Functions of several releases on one server: each calls its own, and leaves newer ones alone."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio

from optserve.local.embedded import EmbeddedServer
from store.jobs import calls
from store.redis import keys
from store.redis.constants import FORMAT
from store.redis.functions import FunctionsMissing, send, send_async
from store.redis.library import library_name
from store.redis.server import UNUSED_MS, install, remove_unused_libraries
from tests.support.store.protocol import begin, hello, reap, submit

RELEASE_0_1 = "optserve"
NEWER = f"optserve_{FORMAT + 1}_0123456789ab"
OLDER = f"optserve_{FORMAT - 1}_0123456789ab"


@pytest.fixture(autouse=True)
def _only_ours(client: redis.Redis) -> Iterator[None]:
    yield
    client.function_flush()


def load(client: redis.Redis, name: str) -> None:
    """Load a library that stands for that of another release."""
    client.function_load(
        f"#!lua name={name}\nredis.register_function('{name}_ask', function() return 1 end)",
        replace=True,
    )


def loaded(client: redis.Redis) -> set[str]:
    return {found[1].decode() for found in client.function_list("optserve*")}


def known(client: redis.Redis) -> set[str]:
    found: Any = client.zrange(keys.LIBRARIES, 0, -1)
    return {name.decode() for name in found}


def age(client: redis.Redis, name: str, ms: int) -> None:
    seconds, _ = client.time()
    client.zadd(keys.LIBRARIES, {name: 1000 * seconds - ms})


@pytest.mark.parametrize("other", [RELEASE_0_1, OLDER, NEWER])
def test_functions_of_another_release_are_left_alone(client: redis.Redis, other: str) -> None:
    load(client, other)

    install(client)
    submit(client)

    assert loaded(client) == {other, library_name()}
    assert client.fcall(f"{other}_ask", 0) == 1


def test_any_call_brings_back_functions_that_were_lost(client: redis.Redis) -> None:
    client.function_flush()

    submit(client)
    held = begin(client)
    client.function_flush()

    assert send(client, calls.renew(held, lease_ms=1000)) == ""


@pytest.mark.anyio
async def test_an_async_call_brings_them_back_too(
    client: redis.Redis, server: EmbeddedServer
) -> None:
    client.function_flush()
    async with redis.asyncio.from_url(server.url) as reader:
        assert await send_async(reader, calls.look("local", "job_none")) is None

    assert loaded(client) == {library_name()}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_a_user_who_may_not_load_functions_is_told_that_they_are_missing(
    client: redis.Redis, server: EmbeddedServer
) -> None:
    client.acl_setuser(
        "trainer", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-function"]
    )
    client.function_flush()

    try:
        with redis.from_url(server.url, username="trainer", password="any") as trainer:
            with pytest.raises(FunctionsMissing, match="the Redis server lacks the Lua functions"):
                send(trainer, calls.version())
            install(client)
            send(trainer, calls.version())
    finally:
        client.acl_deluser("trainer")


def test_an_old_library_goes_once_nobody_has_used_it_for_a_week(client: redis.Redis) -> None:
    for name in (RELEASE_0_1, OLDER):
        load(client, name)

    first = remove_unused_libraries(client)  # their time begins
    for name in (RELEASE_0_1, OLDER):
        age(client, name, UNUSED_MS - 60_000)
    early = remove_unused_libraries(client)
    age(client, OLDER, UNUSED_MS + 1000)
    late = remove_unused_libraries(client)

    assert (first, early, late) == ([], [], [OLDER])
    assert loaded(client) == {RELEASE_0_1, library_name()}


class Overtaken(redis.Redis):
    """A connection on which another process is quicker to delete a library."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        untyped: Any = super()
        if args[0] == "FUNCTION DELETE":
            untyped.execute_command(*args, **options)
        return untyped.execute_command(*args, **options)


def test_of_two_that_remove_a_library_at_once_one_has_removed_it(client: redis.Redis) -> None:
    for name in (RELEASE_0_1, OLDER):
        load(client, name)
        age(client, name, UNUSED_MS + 1000)

    removed = remove_unused_libraries(Overtaken(connection_pool=client.connection_pool))

    assert removed == []
    assert loaded(client) == {library_name()}
    assert known(client) <= {library_name()}


def test_what_is_known_of_a_library_that_is_gone_is_forgotten(client: redis.Redis) -> None:
    """A process that removed it died before it could say so."""
    load(client, NEWER)
    for name in (OLDER, NEWER):
        age(client, name, 0)

    assert remove_unused_libraries(client) == []
    assert known(client) - {library_name()} == {NEWER}


def test_a_user_who_may_not_delete_libraries_is_told(
    client: redis.Redis, server: EmbeddedServer
) -> None:
    load(client, OLDER)
    age(client, OLDER, UNUSED_MS + 1000)
    client.acl_setuser(
        "reader", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-function|delete"]
    )

    try:
        with (
            redis.from_url(server.url, username="reader", password="any") as reader,
            pytest.raises(redis.exceptions.NoPermissionError, match="function"),
        ):
            remove_unused_libraries(reader)
    finally:
        client.acl_deluser("reader")


def test_the_library_of_0_1_is_in_use_while_a_worker_of_it_lives(client: redis.Redis) -> None:
    """It has no way to say so itself."""
    load(client, RELEASE_0_1)
    hello(client)
    client.hdel(keys.WORKER % "w1", "class")
    age(client, RELEASE_0_1, UNUSED_MS + 1000)
    client.delete(keys.ADOPTED)

    reap(client)

    assert remove_unused_libraries(client) == []
    assert RELEASE_0_1 in loaded(client)


def test_a_newer_library_is_never_removed(client: redis.Redis) -> None:
    load(client, NEWER)
    age(client, NEWER, 2 * UNUSED_MS)

    assert remove_unused_libraries(client) == []
    assert NEWER in loaded(client)


def test_a_library_is_in_use_while_a_worker_or_an_api_of_its_release_lives(
    client: redis.Redis,
) -> None:
    used = []
    for use in (lambda: hello(client), lambda: reap(client)):
        age(client, library_name(), UNUSED_MS)
        use()
        used.append(client.zscore(keys.LIBRARIES, library_name()))

    now = 1000 * client.time()[0]
    assert all(float(at) > now - 10_000 for at in used)  # type: ignore[arg-type]
