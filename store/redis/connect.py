"""Clients of the Redis server: every process that needs one calls `connect` or `connect_async`."""

from __future__ import annotations

import redis
import redis.asyncio
import redis.asyncio.retry
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

TIMEOUT_S = 5.0
"""Seconds after which a server that does not answer is given up."""
# redis-py doubles before the first pause too: with three retries they are 0.1, 0.2 and 0.4 s.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.5
"""
Pauses between retries: three of them hide a connection that was lost, and tell of a server that is
away within a second, so that the caller can decide what to do.
"""


def connect(
    url: str,
    *,
    timeout_s: float = TIMEOUT_S,
    connect_timeout_s: float = TIMEOUT_S,
    retries: int = 0,
    decode: bool = False,
) -> redis.Redis:
    """
    Return a client; it connects with its first command.

    Args:
        url: redis://, rediss:// or unix://.
        timeout_s: seconds that a command may wait for its answer.
        connect_timeout_s: seconds that a connection may take.
        retries: how often a command is sent again; none where the caller retries by itself.
        decode: return text and not bytes.

    Raises:
        ValueError: *url* is none; the text may hold a part of its password.
    """
    return redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=connect_timeout_s,
        # Given even where it is 0: redis-py's default is ten retries, and a caller that retries by
        # itself would not hear of an outage, or be able to stop, before all of them are over.
        retry=Retry(_backoff(), retries),
        decode_responses=decode,
    )


def connect_async(
    url: str, *, max_connections: int, timeout_s: float = TIMEOUT_S, retries: int = 0
) -> redis.asyncio.Redis:
    """
    Return a client for an event loop.

    Args:
        url: as for `connect`.
        max_connections: how many it opens; further commands wait *timeout_s* for one of them.
        timeout_s: as for `connect`.
        retries: as for `connect`.
    """
    # The plain pool raises MaxConnectionsError when all connections are in use; requests that come
    # in a burst are to wait for one instead.
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=TIMEOUT_S,
        retry=redis.asyncio.retry.Retry(_backoff(), retries),
    )
    return redis.asyncio.Redis.from_pool(pool)


def _backoff() -> ExponentialBackoff:
    return ExponentialBackoff(cap=LONGEST_PAUSE_S, base=FIRST_PAUSE_S)
