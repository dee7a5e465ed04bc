"""Where routes ask for a stream: reader, streams, and a store to catch up from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from api.metrics.streams.open_streams import EventStream, Streams
from api.metrics.streams.poller import Reader
from api.metrics.streams.subscriber import Watcher
from store.jobs.calls import Monitored
from store.jobs.views import Store
from store.redis.unreachable import UNREACHABLE
from store.settings import Settings

CONNECTIONS = 8
"""To the store, for all who watch: those that catch up take turns."""
PATIENCE_S = 5.0

Follows = Callable[[Reader, Store, Watcher], AsyncGenerator[bytes, None]]
"""Makes the events of a stream: what is followed is chosen already."""


class Desk:
    """
    Where routes ask for a stream.

    Attributes:
        reader: of this process.
        streams: that are open.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self.reader, self.streams = Reader(store), Streams(settings)

    def stream(self, follows: Follows) -> EventStream:
        """Return the answer that is the stream of what *follows* tells."""
        return EventStream(self.streams, lambda watcher: follows(self.reader, self._store, watcher))

    async def monitored(self) -> Monitored | None:
        """Return how the whole service is; None while the store does not answer."""
        try:
            return await self._store.monitored()
        except UNREACHABLE:
            return None

    async def serve_forever(self) -> None:
        """Read for all streams and look after them until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self.reader.read_forever())
            both.create_task(self.streams.look_after_forever())


def connect(url: str) -> redis.asyncio.Redis:
    """
    Return a client with few connections, for which others wait.

    It does not try again by itself: who follows a job does, and goes on pinging meanwhile.
    """
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=PATIENCE_S,
        socket_timeout=PATIENCE_S,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.asyncio.Redis.from_pool(pool)
