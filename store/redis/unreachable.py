"""What says that the store cannot be reached now."""

from __future__ import annotations

import redis

UNREACHABLE = (redis.RedisError, OSError)
"""It is away, busy or loading; or this process has no descriptor for a connection to it."""
