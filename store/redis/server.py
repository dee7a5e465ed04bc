"""Checks that the Redis server is configured not to lose data, and loads the Lua functions."""

from __future__ import annotations

from typing import Any

import redis

from store.errors import StoreUnsafe
from store.jobs import calls
from store.redis import keys
from store.redis.constants import FORMAT, LEGACY, LIBRARIES
from store.redis.functions import is_missing, load, send
from store.redis.library import library_name

MIN_VERSION = (7, 0)
"""The first version of Redis that has function libraries."""
UNUSED_MS = 7 * 24 * 3600 * 1000
"""Milliseconds without use after which a function library is removed."""
# appendfsync everysec with WAITAOF is no substitute for always: Valkey 9.1.2 acknowledged 200
# writes after a single fsync. A single write takes 0.3 ms with always, 0.06 ms with everysec.
REQUIRED = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
"""
Required settings of the server. Without the first two, a crash of the server could lose accepted
jobs; without the third, the server would evict jobs when its memory is full.
"""


def prepare(client: redis.Redis) -> None:
    """
    Check that the server does not lose jobs, and load the functions of this release.

    Raises:
        StoreUnsafe: the server is too old or a setting is wrong; the text says what to change.
    """
    check(client)
    install(client)


def check(client: redis.Redis) -> None:
    """Raise `StoreUnsafe` if the server is too old or lacks one of the `REQUIRED` settings."""
    # Valkey has this field too, with the version of Redis that it is compatible with (7.2.4 for
    # Valkey 9.1.2).
    version = str(client.info("server")["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
        raise StoreUnsafe(f"the Redis server must be version 7 or newer, got {version}")
    wrong = []
    for name, wanted in REQUIRED.items():
        found = _setting(client, name)
        if found != wanted:
            wrong.append(f"{name} must be {wanted}, got {found}")
    if wrong:
        raise StoreUnsafe(
            f"the Redis server could lose accepted jobs: {'; '.join(wrong)}. "
            "Change its configuration (or use CONFIG SET), and start this process again."
        )


def _setting(client: redis.Redis, name: str) -> str | None:
    try:
        return client.config_get(name).get(name)
    except redis.ResponseError as error:
        raise StoreUnsafe(
            f"the Redis server does not let this user read the persistence settings ({error}). "
            "Allow this user CONFIG GET (ACL: +config|get), and start this process again."
        ) from None


def install(client: redis.Redis) -> None:
    """Load the functions of this release; do nothing if the server has them already."""
    untyped: Any = client  # half of its methods are
    try:
        # Not with `send`, which would warn that the server has lost functions it never had.
        untyped.execute_command(*calls.version().command)
    except redis.ResponseError as error:
        if not is_missing(error):
            raise
        load(client)


def libraries(client: redis.Redis) -> list[str]:
    """Return the names of the function libraries on the server, from this and other releases."""
    found: list[list[bytes]] = client.function_list(f"{LEGACY}*")
    return [_library_name(each) for each in found]


def remove_unused_libraries(client: redis.Redis, *, max_age_ms: int = UNUSED_MS) -> list[str]:
    """
    Remove unused function libraries of other releases; return the names of the removed ones.

    A library is removed if no process has used it for *max_age_ms* milliseconds. A library that
    writes a newer record format than this release is never removed. A process that still calls a
    removed library loads it again.

    Several processes may call this function at once. Each returns the libraries that it removed.
    """
    loaded = libraries(client)
    older = [name for name in loaded if name != library_name() and _format(name) <= FORMAT]
    unused = send(client, calls.unused_libraries(older, max_age_ms=max_age_ms)) if older else []
    removed = [name for name in unused if _delete(client, name)]
    # Also libraries that another process has removed but not forgotten, since it died, or since a
    # third process recorded a use in between. A library that is loaded only now is recorded again
    # when it is used.
    for name in _noted(client) - (set(loaded) - set(unused)):
        send(client, calls.forget_library(name))
    return removed


def _delete(client: redis.Redis, name: str) -> bool:
    """Delete a library; return False if another process has deleted the library already."""
    try:
        client.function_delete(name)
    except redis.ResponseError as error:
        if "not found" not in str(error):
            raise
        return False
    return True


def _noted(client: redis.Redis) -> set[str]:
    """Return the names of the libraries whose last use is recorded in Redis."""
    found: Any = client.zrange(keys.LIBRARIES, 0, -1)
    return {name.decode() for name in found}


def _library_name(listed: list[bytes] | dict[bytes, bytes]) -> str:
    """Return the name of a library from its entry in the reply to FUNCTION LIST."""
    pairs = (
        listed if isinstance(listed, dict) else dict(zip(listed[::2], listed[1::2], strict=True))
    )
    return pairs[b"library_name"].decode()


def _format(name: str) -> int:
    """Return the record format in a library's name; 1 if it has none, as in release 0.1.0."""
    number = name.removeprefix(LIBRARIES).partition("_")[0]
    return int(number) if number.isdecimal() else 1
