"""The Redis server: whether it keeps what it accepts, and the functions it must have."""

from __future__ import annotations

import redis

from jobs import calls
from jobs.errors import StoreUnsafe
from jobs.functions import library, send, version

MIN_VERSION = (7, 0)
"""The first server with function libraries."""
REQUIRED = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
"""Without these an accepted job can be lost: to a crash, to a second of lazy writes, to memory."""


def prepare(client: redis.Redis) -> None:
    """
    Refuse a server that would lose jobs; give a good one the functions.

    Raises:
        StoreUnsafe: the text says what to set.
    """
    check(client)
    install(client)


def check(client: redis.Redis) -> None:
    """Raise `StoreUnsafe` unless the server is new enough and keeps what it accepts."""
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
            f"the Redis server would lose accepted jobs: {'; '.join(wrong)}. "
            "Set this in its configuration (or with CONFIG SET) and start again."
        )


def _setting(client: redis.Redis, name: str) -> str | None:
    try:
        return client.config_get(name).get(name)
    except redis.ResponseError as error:
        raise StoreUnsafe(
            f"the Redis server does not let us see whether it keeps what it accepts ({error}). "
            "Allow this user CONFIG GET (ACL: +config|get) and start again."
        ) from None


def install(client: redis.Redis) -> None:
    """Load the functions unless the server has exactly these."""
    if not has_functions(client):
        client.function_load(library(), replace=True)


def has_functions(client: redis.Redis) -> bool:
    """Return whether the server has the functions, in the version that this code calls."""
    try:
        return send(client, calls.version()) == version()
    except redis.ResponseError:
        return False
