"""The Redis server: whether it keeps what it accepts, and the functions it must have."""

from __future__ import annotations

import redis

from jobs.errors import StoreUnsafe
from jobs.functions import library

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
        found = client.config_get(name).get(name)
        if found != wanted:
            wrong.append(f"{name} must be {wanted}, got {found}")
    if wrong:
        raise StoreUnsafe(
            f"the Redis server would lose accepted jobs: {'; '.join(wrong)}. "
            "Set this in its configuration (or with CONFIG SET) and start again."
        )


def install(client: redis.Redis) -> None:
    """Load the functions unless the server has exactly these."""
    source = library()
    loaded = client.function_list(library="optserve", withcode=True)
    if not loaded or source.encode() not in _values(loaded[0]):
        client.function_load(source, replace=True)


def _values(reply: object) -> list[bytes]:
    """Return the values of a reply that is a flat list or, in newer protocols, a mapping."""
    if isinstance(reply, dict):
        return list(reply.values())
    return list(reply) if isinstance(reply, list) else []
