"""The errors that mean that the Redis server cannot be reached now."""

from __future__ import annotations

import redis

UNREACHABLE = (redis.RedisError, OSError)
"""The server is down, busy or loading; or this process has no descriptor left for a connection."""
