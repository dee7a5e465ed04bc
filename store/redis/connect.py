"""Creates Redis clients: `connect` for threads, `connect_async` for an event loop."""

from __future__ import annotations

import redis
import redis.asyncio
import redis.asyncio.retry
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

TIMEOUT_S = 5.0
"""Seconds to wait for a connection, or for a reply, before the command fails."""
# redis-py doubles the first pause too: with three retries the pauses are 0.1, 0.2 and 0.4 s.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.5
"""
Pauses between retries. Three retries hide a lost connection; if the server is down, the caller gets
the error within a second.
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
    Return a Redis client, which connects when it sends its first command.

    Args:
        url: the URL of the server: redis://, rediss:// or unix://.
        timeout_s: the maximum number of seconds to wait for the reply to a command.
        connect_timeout_s: the maximum number of seconds for connecting.
        retries: the number of times to retry a command; 0 if the caller retries by itself.
        decode: whether replies are text instead of bytes.

    Raises:
        ValueError: *url* is not valid; the error's text may contain a part of the password.
    """
    return redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=connect_timeout_s,
        # Passed even if it is 0: redis-py's default is ten retries, and a caller that retries by
        # itself could not notice an outage, or stop, before all of them are over.
        retry=Retry(_backoff(), retries),
        decode_responses=decode,
    )


def connect_async(
    url: str, *, max_connections: int, timeout_s: float = TIMEOUT_S, retries: int = 0
) -> redis.asyncio.Redis:
    """
    Return a Redis client for an event loop.

    Args:
        url: as for `connect`.
        max_connections: the maximum number of connections. While all of them are in use, a command
            waits up to *timeout_s* seconds for a connection.
        timeout_s: as for `connect`.
        retries: as for `connect`.
    """
    # The plain pool raises MaxConnectionsError when all connections are in use; in a burst,
    # requests should wait for a connection instead.
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
